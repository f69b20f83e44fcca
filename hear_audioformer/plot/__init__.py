"""Pictures of recordings and of tables: functions that return a matplotlib ``Figure``.

spectrogram  log-mel of a recording           timeline  what changes when in a recording
similarity   each moment against each other   map       a table in two dimensions

No module here is imported by the command line at its start.
"""
