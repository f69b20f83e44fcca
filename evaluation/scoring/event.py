"""An event task scored: a logistic head on timestamp embeddings, turned into events, their onsets compared."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..tasks.tasks import Fold, Reading
from . import heads
from .decode import Lanes, Probabilities, matched, segment_error_rate
from .embeddings import Timestamps
from .heads import PENALTIES, Linear
from .scene import Outcome

TOLERANCE = {"onset_200ms": 200.0, "onset_50ms": 50.0}
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
MEDIANS_MS = (0, 120, 200, 360)
FRAMES = 20_000  # at most that many, drawn at random, fit a head: neighbouring frames say much the same


@dataclass(frozen=True)
class Setting:
    """What is chosen on the validation clips."""

    penalty: float
    threshold: float
    median_ms: float


def score(task: Reading, embedded: Timestamps) -> Outcome:
    """Fits, chooses and counts on every fold."""
    rounds = [_round(task, fold, embedded) for fold in task.folds]
    columns = {name: np.concatenate([r["columns"][name] for r in rounds]) for name in ("hits", "found", "real")}
    return Outcome(
        folds=np.repeat(np.arange(len(rounds)), [len(r["test"]) for r in rounds]),
        groups=np.array([task.items[i].group for r in rounds for i in r["test"]]),
        columns=columns,
        others={},
        chosen=[r["chosen"] for r in rounds],
        extra={"segment_error_rate": float(np.mean([r["segment_error_rate"] for r in rounds]))},
    )


def _round(task: Reading, fold: Fold, embedded: Timestamps) -> dict[str, Any]:
    splits = np.array([item.split for item in task.items])
    train, valid, test = (np.flatnonzero(np.isin(splits, names)) for names in (fold.train, fold.valid, fold.test))
    setting, best = _choose(task, train, valid, embedded)
    features, targets = _frames(task, np.concatenate([train, valid]), embedded)
    head = next(heads.fit_path(features, targets, "multilabel", [setting.penalty]))
    found = _probabilities(head, test, embedded).events(setting.threshold, setting.median_ms)
    real = _real(task, test)
    hits = matched(found, real, TOLERANCE[task.score])
    return {
        "test": test,
        "columns": {"hits": hits, "found": found.per_clip(), "real": real.per_clip()},
        "segment_error_rate": segment_error_rate(found, real),
        "chosen": {**vars(setting), "valid": best},
    }


def _choose(task: Reading, train: np.ndarray, valid: np.ndarray, embedded: Timestamps) -> tuple[Setting, float]:
    """The setting with the best onset F-measure on the validation clips, and that."""
    features, targets = _frames(task, train, embedded)
    real = _real(task, valid)
    tried: list[tuple[float, Setting]] = []
    for penalty, head in zip(PENALTIES, heads.fit_path(features, targets, "multilabel"), strict=False):
        probabilities = _probabilities(head, valid, embedded)
        best = (-1.0, Setting(penalty, THRESHOLDS[0], MEDIANS_MS[0]))
        for threshold, median_ms in product(THRESHOLDS, MEDIANS_MS):
            found = probabilities.events(threshold, median_ms)
            hits = matched(found, real, TOLERANCE[task.score]).sum()
            value = 2 * float(hits) / max(1, len(found.lane) + len(real.lane))
            if value > best[0]:
                best = value, Setting(penalty, threshold, median_ms)
        tried.append(best)
        if heads.falling([value for value, _ in tried]):
            break
    value, setting = max(tried, key=lambda one: one[0])
    return setting, value


def _frames(task: Reading, clips: np.ndarray, embedded: Timestamps) -> tuple[Tensor, Tensor]:
    """About ``FRAMES`` frames of clips, (frames, dim), and which classes sound at their centres, (frames, classes)."""
    places = {label: i for i, label in enumerate(task.vocabulary)}
    wanted = min(1.0, FRAMES / sum(embedded.lengths[clip] for clip in clips))
    generator = np.random.default_rng(0)
    features, targets = [], []
    for clip in clips:
        taken = np.flatnonzero(generator.random(embedded.lengths[clip]) < wanted)
        times = embedded.times[clip][taken]
        sounding = np.zeros((len(taken), len(places)), np.float32)
        for event in task.items[clip].events:
            sounding[(times >= event.start) & (times <= event.end), places[event.label]] = 1
        features.append(embedded.frames(clip)[taken].astype(np.float32))
        targets.append(sounding)
    return torch.from_numpy(np.concatenate(features)), torch.from_numpy(np.concatenate(targets))


def _probabilities(head: Linear, clips: np.ndarray, embedded: Timestamps) -> Probabilities:
    told = [head(torch.from_numpy(embedded.frames(clip).astype(np.float32))).sigmoid().numpy() for clip in clips]
    return Probabilities.of(told, [embedded.times[clip] for clip in clips])


def _real(task: Reading, clips: np.ndarray) -> Lanes:
    return Lanes.of([task.items[clip].events for clip in clips], task.vocabulary)
