"""Intervals by drawing test groups with replacement.

Clips of one group (a speaker, a kit) succeed and fail together, so groups are drawn, not clips; with k folds each
fold's groups are drawn within the fold. The draws of a task are the same for every model: differences are paired.
"""

import zlib
from dataclasses import dataclass

import numpy as np

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, draws: np.ndarray) -> "Interval":
        tail = 50 * (1 - LEVEL)
        low, high = np.nanpercentile(draws, [tail, 100 - tail])
        return cls(float(value), float(low), float(high))


def draw(task: str, folds: np.ndarray, groups: np.ndarray, draws: int = DRAWS) -> np.ndarray:
    """How often each clip occurs in each draw: (draws, clips), float32; seeded by the task's name."""
    generator = np.random.default_rng(zlib.crc32(task.encode()))
    weights = np.empty((draws, len(groups)), np.float32)
    for fold in np.unique(folds):
        mine = np.flatnonzero(folds == fold)
        names, group_of = np.unique(groups[mine], return_inverse=True)
        times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
        weights[:, mine] = times[:, group_of]
    return weights
