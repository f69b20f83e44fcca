"""Eleven tasks in HEAR's format from free Debian recordings: ``python -m evaluation.suites.open OUT``."""
