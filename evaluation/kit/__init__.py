"""HEAR's released evaluation kit on a current Python: its environment, patches in memory, runs and scores."""
