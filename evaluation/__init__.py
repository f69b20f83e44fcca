"""What a model is worth: its speed here, its scores on HEAR's tasks and on the open suite."""
