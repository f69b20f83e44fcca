"""Models for other tools, a file each: docs/adapters.md. Each imports its tool, so none is imported by the package."""
