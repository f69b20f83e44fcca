"""Errors that the command line prints in one line. This module needs no torch."""


class WeightsError(RuntimeError):
    """A weight file that is missing, damaged, or not what it should be."""


class StoreError(RuntimeError):
    """A result that cannot be written as asked."""


class AudioError(ValueError):
    """A file that cannot be turned into a waveform; the message names it and says why."""


class InputError(ValueError):
    """An input that names nothing that can be listed; the message says what to do."""
