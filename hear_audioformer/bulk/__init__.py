"""Many recordings -> one table of embeddings: any number of files, resumable, on all cores or GPUs.

sources  what the inputs hold            worker   a model that embeds files and commits parts
plan     the files, cut into tasks       local    worker processes of this machine
parts    files of rows                   output   the result's place: lock, parts, errors, one file at the end
"""
