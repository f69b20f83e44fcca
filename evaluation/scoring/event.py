"""Scores an event task: a logistic head on timestamp embeddings gives events, whose onsets are matched."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..tasks.tasks import Fold, Task
from . import heads
from .decode import EventTable, Probabilities, matched_onsets, segment_error_rate
from .embeddings import Timestamps
from .heads import PENALTIES, LinearHead
from .scene import Outcome

TOLERANCE = {"onset_200ms": 200.0, "onset_50ms": 50.0}
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
MEDIANS_MS = (0, 120, 200, 360)
FRAMES = 20_000  # random frames at most that fit a head: neighbouring frames are much alike


@dataclass(frozen=True)
class Setting:
    """The hyper-parameters, selected on the validation clips."""

    penalty: float
    threshold: float
    median_ms: float


def score(task: Task, embedded: Timestamps) -> Outcome:
    """Fits a head, selects its setting and counts matched onsets on every fold."""
    results = [_score_fold(task, fold, embedded) for fold in task.folds]
    columns = {
        name: np.concatenate([result["columns"][name] for result in results]) for name in ("hits", "found", "real")
    }
    return Outcome(
        folds=np.repeat(np.arange(len(results)), [len(result["test"]) for result in results]),
        groups=np.array([task.items[i].group for result in results for i in result["test"]]),
        columns=columns,
        others={},
        chosen=[result["chosen"] for result in results],
        extra={"segment_error_rate": float(np.mean([result["segment_error_rate"] for result in results]))},
    )


def _score_fold(task: Task, fold: Fold, embedded: Timestamps) -> dict[str, Any]:
    splits = np.array([item.split for item in task.items])
    train, valid, test = (np.flatnonzero(np.isin(splits, names)) for names in (fold.train, fold.valid, fold.test))
    setting, best = _choose(task, train, valid, embedded)
    features, targets = _frames(task, np.concatenate([train, valid]), embedded)
    head = next(heads.fit_path(features, targets, "multilabel", [setting.penalty]))
    predicted = _probabilities(head, test, embedded).events(setting.threshold, setting.median_ms)
    reference = _reference(task, test)
    hits = matched_onsets(predicted, reference, TOLERANCE[task.score])
    return {
        "test": test,
        "columns": {"hits": hits, "found": predicted.per_clip(), "real": reference.per_clip()},
        "segment_error_rate": segment_error_rate(predicted, reference),
        "chosen": {**vars(setting), "valid": best},
    }


def _choose(task: Task, train: np.ndarray, valid: np.ndarray, embedded: Timestamps) -> tuple[Setting, float]:
    """The setting with the best onset F-measure on the validation clips, and this F-measure."""
    features, targets = _frames(task, train, embedded)
    reference = _reference(task, valid)
    tried: list[tuple[float, Setting]] = []
    for penalty, head in zip(PENALTIES, heads.fit_path(features, targets, "multilabel"), strict=False):
        probabilities = _probabilities(head, valid, embedded)
        best = (-1.0, Setting(penalty, THRESHOLDS[0], MEDIANS_MS[0]))
        for threshold, median_ms in product(THRESHOLDS, MEDIANS_MS):
            predicted = probabilities.events(threshold, median_ms)
            hits = matched_onsets(predicted, reference, TOLERANCE[task.score]).sum()
            value = 2 * float(hits) / max(1, len(predicted.lane) + len(reference.lane))
            if value > best[0]:
                best = value, Setting(penalty, threshold, median_ms)
        tried.append(best)
        if heads.past_best([value for value, _ in tried]):
            break
    value, setting = max(tried, key=lambda trial: trial[0])
    return setting, value


def _frames(task: Task, clips: np.ndarray, embedded: Timestamps) -> tuple[Tensor, Tensor]:
    """About ``FRAMES`` random frames of clips, (frames, dim), with the active classes, (frames, classes)."""
    classes = {label: i for i, label in enumerate(task.vocabulary)}
    share = min(1.0, FRAMES / sum(embedded.lengths[clip] for clip in clips))
    generator = np.random.default_rng(0)
    features, targets = [], []
    for clip in clips:
        taken = np.flatnonzero(generator.random(embedded.lengths[clip]) < share)
        times = embedded.times[clip][taken]
        sounding = np.zeros((len(taken), len(classes)), np.float32)
        for event in task.items[clip].events:
            sounding[(times >= event.start) & (times <= event.end), classes[event.label]] = 1
        features.append(embedded.frames(clip)[taken].astype(np.float32))
        targets.append(sounding)
    return torch.from_numpy(np.concatenate(features)), torch.from_numpy(np.concatenate(targets))


def _probabilities(head: LinearHead, clips: np.ndarray, embedded: Timestamps) -> Probabilities:
    values = [head(torch.from_numpy(embedded.frames(clip).astype(np.float32))).sigmoid().numpy() for clip in clips]
    return Probabilities.of(values, [embedded.times[clip] for clip in clips])


def _reference(task: Task, clips: np.ndarray) -> EventTable:
    return EventTable.of([task.items[clip].events for clip in clips], task.vocabulary)
