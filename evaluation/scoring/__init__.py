"""From embeddings to scores: heads, decoding, intervals, records."""
