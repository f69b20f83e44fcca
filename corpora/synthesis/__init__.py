"""Voices, notes and drums, rendered by programs of Debian's."""
