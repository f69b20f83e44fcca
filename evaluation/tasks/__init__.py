"""Tasks in HEAR's format: read, written, checked, unpacked from HEAR's archives."""
