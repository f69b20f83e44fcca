"""Evaluation of models: scores on HEAR's tasks and on the open suite, speed and cost."""
