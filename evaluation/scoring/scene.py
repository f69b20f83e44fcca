"""Scores a scene task: fits and selects heads fold by fold, and collects their predictions for the test clips."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..tasks.tasks import Fold, Task
from . import heads, mlp, neighbours
from .labels import many_hot
from .scores import SCORES, Columns


@dataclass(frozen=True)
class Outcome:
    """The outcome of every test clip: the input of all scores, intervals and comparisons.

    Attributes:
        folds, groups: the fold and group of each test clip.
        columns: the input of the primary score.
        others: the columns of other predictors by name: "knn", "majority".
        chosen: the hyper-parameters selected on the validation clips, one entry a fold.
        extra: other figures of the task.
    """

    folds: np.ndarray
    groups: np.ndarray
    columns: Columns
    others: dict[str, Columns]
    chosen: list[dict[str, Any]]
    extra: dict[str, float]


def score(task: Task, embeddings: np.ndarray, head: str = "linear") -> Outcome:
    """Fits, selects and predicts on every fold."""
    features, targets = torch.from_numpy(embeddings), _targets(task)
    results = [_score_fold(task, fold, features, targets, head) for fold in task.folds]
    tests = [[i for i, item in enumerate(task.items) if item.split == fold.test] for fold in task.folds]
    columns_of: dict[str, Columns] = {}
    for name in ("head", "knn", "majority"):
        parts = [
            columns(task, targets[test].numpy(), result[name]) for test, result in zip(tests, results, strict=True)
        ]
        columns_of[name] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Outcome(
        folds=np.repeat(np.arange(len(tests)), [len(test) for test in tests]),
        groups=np.array([task.items[i].group for test in tests for i in test]),
        columns=columns_of.pop("head"),
        others=columns_of,
        chosen=[result["chosen"] for result in results],
        extra={},
    )


def _score_fold(task: Task, fold: Fold, features: Tensor, targets: Tensor, head: str) -> dict[str, Any]:
    """Predictions (clips, classes) for the test clips by head, neighbours and majority; reads no test labels."""
    splits = np.array([item.split for item in task.items])
    train, valid, test = (np.flatnonzero(np.isin(splits, names)) for names in (fold.train, fold.valid, fold.test))
    labelled = (features[train], targets[train]), (features[valid], targets[valid])
    score_of = _score_of(task, targets[valid].numpy())
    balanced = task.score == "mean_recall"
    kind: heads.Kind = "multilabel" if task.multilabel else "multiclass"
    choose = mlp.choose if head == "mlp" else heads.choose
    chosen = choose(*labelled, kind, score_of, balanced)
    votes, k = neighbours.choose(*labelled, features[test], score_of, balanced)
    common = torch.cat([targets[train], targets[valid]]).mean(0)
    return {
        "head": chosen.head(features[test]).numpy(),
        "knn": votes,
        "majority": common.expand(len(test), -1).numpy(),
        "chosen": {**chosen.choice, "valid": chosen.valid_score, "k": k},
    }


def _score_of(task: Task, targets: np.ndarray) -> Callable[[np.ndarray], float]:
    """A function from predictions for clips with these targets to the task's score."""
    ones = np.ones((1, len(targets)), np.float32)
    return lambda predicted: float(SCORES[task.score](columns(task, targets, predicted), ones)[0])


def columns(task: Task, targets: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of the task's score from (clips, classes): classes, or all values for a ranking score."""
    if task.score == "mean_precision":
        return {"truth": targets, "predicted": predicted}
    return {"truth": targets.argmax(1), "predicted": predicted.argmax(1)}


def _targets(task: Task) -> Tensor:
    """One-hot or multi-hot targets, (clips, classes)."""
    return many_hot([item.labels for item in task.items], len(task.vocabulary))
