"""A local page: drop a sound, see it, hear what sounds like it in a folder, see the folder as a map.

command  the command line          views    from sound and table to pictures and rows; without Gradio
page     layout and events         folder   an embedded folder: search, columns, map
shelf    tables that are open,     sound    limits, and stretches of recordings as players
         or that can be made       cards    rows as HTML
"""
