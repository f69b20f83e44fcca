"""Baselines: ``logmel`` and HEAR's ``naive`` are HEAR modules, ``ast`` is an encoder to compare with."""
