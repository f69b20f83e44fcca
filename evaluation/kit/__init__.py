"""HEAR's released evaluation kit, unmodified, on a current Python: its environment, its cures, its runs, its scores."""
