"""Recordings: free packages, shards, packs, pieces; ``synthesis`` renders voices and notes."""
