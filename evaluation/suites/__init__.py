"""Suites of tasks made of free recordings: ``open`` to report by, ``dev`` to choose by."""
