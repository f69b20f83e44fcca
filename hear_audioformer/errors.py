"""Errors that the command line prints in one line. This module needs no torch."""


class WeightsError(RuntimeError):
    """A weight file that is missing, damaged, or not what it should be."""


class StoreError(RuntimeError):
    """A result that cannot be written as asked."""
