"""Scoring of embeddings: heads, decoding, intervals, files of results."""
