"""Adapters beside the real packages, where they are installed."""
