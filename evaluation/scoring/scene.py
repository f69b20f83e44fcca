"""A scene task scored: heads fitted and chosen fold by fold, what they predict for the test clips put in columns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..tasks.tasks import Fold, Reading
from . import heads, mlp, neighbours
from .labels import many_hot
from .scores import SCORES, Columns


@dataclass(frozen=True)
class Outcome:
    """What is known of the test clips after scoring; enough for every score, interval and comparison.

    Attributes:
        folds, groups: one a test clip.
        columns: what the primary score takes.
        others: the columns of other predictors by name: "knn", "majority".
        chosen: what was chosen on the validation clips, one entry a fold.
        extra: other figures of the task.
    """

    folds: np.ndarray
    groups: np.ndarray
    columns: Columns
    others: dict[str, Columns]
    chosen: list[dict[str, Any]]
    extra: dict[str, float]


def score(task: Reading, embeddings: np.ndarray, head: str = "linear") -> Outcome:
    """Fits, chooses and predicts on every fold."""
    features, targets = torch.from_numpy(embeddings), _targets(task)
    rounds = [_round(task, fold, features, targets, head) for fold in task.folds]
    tests = [[i for i, item in enumerate(task.items) if item.split == fold.test] for fold in task.folds]
    told: dict[str, Columns] = {}
    for name in ("head", "knn", "majority"):
        parts = [columns(task, targets[test].numpy(), r[name]) for test, r in zip(tests, rounds, strict=True)]
        told[name] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Outcome(
        folds=np.repeat(np.arange(len(tests)), [len(test) for test in tests]),
        groups=np.array([task.items[i].group for test in tests for i in test]),
        columns=told.pop("head"),
        others=told,
        chosen=[r["chosen"] for r in rounds],
        extra={},
    )


def _round(task: Reading, fold: Fold, features: Tensor, targets: Tensor, head: str) -> dict[str, Any]:
    """Scores (clips, classes) of the test clips by head, neighbours and majority. Test clips' labels are not read."""
    splits = np.array([item.split for item in task.items])
    train, valid, test = (np.flatnonzero(np.isin(splits, names)) for names in (fold.train, fold.valid, fold.test))
    told = (features[train], targets[train]), (features[valid], targets[valid])
    rate = _rate(task, targets[valid].numpy())
    balanced = task.score == "mean_recall"
    kind: heads.Kind = "multilabel" if task.multilabel else "multiclass"
    choose = mlp.choose if head == "mlp" else heads.choose
    chosen = choose(*told, kind, rate, balanced)
    votes, k = neighbours.choose(*told, features[test], rate, balanced)
    common = torch.cat([targets[train], targets[valid]]).mean(0)
    return {
        "head": chosen.head(features[test]).numpy(),
        "knn": votes,
        "majority": common.expand(len(test), -1).numpy(),
        "chosen": {**chosen.choice, "valid": chosen.valid_score, "k": k},
    }


def _rate(task: Reading, targets: np.ndarray) -> Callable[[np.ndarray], float]:
    """The task's score of predictions for clips with these targets."""
    ones = np.ones((1, len(targets)), np.float32)
    return lambda predicted: float(SCORES[task.score](columns(task, targets, predicted), ones)[0])


def columns(task: Reading, targets: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Targets and scores (clips, classes) -> what the score takes: classes, or all of it where it ranks."""
    if task.score == "mean_precision":
        return {"truth": targets, "predicted": predicted}
    return {"truth": targets.argmax(1), "predicted": predicted.argmax(1)}


def _targets(task: Reading) -> Tensor:
    """(clips, classes), ones where a clip has a label."""
    return many_hot([item.labels for item in task.items], len(task.vocabulary))
