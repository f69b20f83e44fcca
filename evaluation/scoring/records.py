"""Files of results: JSON with the outcome of every test clip, so that reports need not run a model."""

import json
import platform
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_audioformer import __version__
from hear_audioformer.files import write_text

from ..tasks.tasks import Task
from .bootstrap import Draws, Interval, draw
from .embeddings import Model
from .scene import Outcome
from .scores import Columns, folded

FORMAT = 1
UNBOUNDED = ("d_prime",)  # scores not limited to [0, 1]


def facts(model: Model, suite: str, head: str, command: str) -> dict[str, Any]:
    """The header of a file of results: model, suite, head, command and versions."""
    return {
        "format": FORMAT,
        **model.identity,
        "source": model.source,
        "model_sha256": model.sha256,
        "name": model.name,
        "suite": suite,
        "head": head,
        "parameters": sum(parameter.numel() for parameter in model.loaded.parameters()),
        "scene_embedding_size": int(model.loaded.scene_embedding_size),
        "sample_rate": model.sample_rate,
        "command": command,
        "versions": {
            "hear_audioformer": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def entry(task: Task, outcome: Outcome, seconds: dict[str, float]) -> dict[str, Any]:
    """A task's entry: scores with intervals, the chance score, and the columns they come from."""
    drawn = draw(task.name, outcome.folds, outcome.groups)
    names, groups = np.unique(outcome.groups, return_inverse=True)
    others = {name: rated(task.score, columns, outcome.folds, drawn) for name, columns in outcome.others.items()}
    majority = others.get("majority", {"value": 0.0})["value"]
    return {
        "score": task.score,
        **rated(task.score, outcome.columns, outcome.folds, drawn),
        "chance": majority if task.chance is None else task.chance,
        "others": others,
        "extra": outcome.extra,
        "clips": len(task.items),
        "test_clips": len(groups),
        "test_groups": len(names),
        "drawn": drawn.unit,
        "classes": len(task.vocabulary),
        "chosen": outcome.chosen,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "columns": {name: _listed(column) for name, column in outcome.columns.items()},
        "folds": outcome.folds.tolist(),
        "groups": groups.tolist(),
    }


def rated(score: str, columns: Columns, folds: np.ndarray, drawn: Draws) -> dict[str, Any]:
    """A score of the test clips with its interval, clipped to the score's range."""
    value = folded(score, columns, folds, np.ones((1, len(folds)), np.float32))[0]
    interval = Interval.drawn(value, folded(score, columns, folds, drawn.weights), drawn)
    if score in UNBOUNDED:
        return asdict(interval)
    return {**asdict(interval), "low": max(0.0, interval.low), "high": min(1.0, interval.high)}


def add(file: Path, run_facts: dict[str, Any], task: str, task_entry: dict[str, Any]) -> None:
    """Adds a task to a file of results. Keeps the file's other tasks if they are of the same model."""
    content = json.loads(file.read_text()) if file.exists() else {}
    same = all(content.get(key) == run_facts[key] for key in ("module", "model", "options", "head"))
    tasks = content["tasks"] if same else {}
    tasks[task] = task_entry
    write_text(file, json.dumps({**run_facts, "tasks": dict(sorted(tasks.items()))}))


def _listed(column: np.ndarray) -> list[Any]:
    return (column if column.dtype.kind in "iub" else column.astype(np.float64).round(4)).tolist()
