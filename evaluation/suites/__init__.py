"""Suites of tasks from free recordings: ``open`` for reported scores, ``dev`` for choosing hyper-parameters."""
