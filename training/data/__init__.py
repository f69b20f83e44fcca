"""Recordings to train on: where they come from, what is kept of them, and how they are read."""
