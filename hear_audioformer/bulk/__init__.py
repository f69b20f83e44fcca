"""Many recordings -> a table of embeddings."""
