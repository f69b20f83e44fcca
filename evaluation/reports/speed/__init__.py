"""Throughput of models side by side in one process: ``python -m evaluation.reports.speed``."""
