"""Frame probabilities -> events, and events counted: matched onsets, segments in error.

The counts are those of sed_eval, which HEAR's kit calls: onsets of one class matched one to one as often as can be
within a tolerance, over all classes together; and at one second, what is missed, invented or confused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..tasks.write import Event

APART = 1e9  # ms: onsets of different lanes never meet


@dataclass(frozen=True)
class Lanes:
    """Events of all clips and classes: one row an event, in order of lane and time.

    Attributes:
        lane: clip * classes + class.
        onset, offset: ms.
    """

    lane: np.ndarray
    onset: np.ndarray
    offset: np.ndarray
    clips: int
    classes: int

    @classmethod
    def of(cls, clips: Sequence[Sequence[Event]], vocabulary: Sequence[str]) -> "Lanes":
        places = {label: i for i, label in enumerate(vocabulary)}
        rows = sorted(
            (clip * len(vocabulary) + places[event.label], event.start, event.end)
            for clip, events in enumerate(clips)
            for event in events
        )
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        return cls(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], len(clips), len(vocabulary))

    def per_clip(self) -> np.ndarray:
        """Events in each clip: (clips,)."""
        return np.bincount(self.lane // self.classes, minlength=self.clips)


@dataclass(frozen=True)
class Probabilities:
    """What a head says of every frame: (clips, classes, frames), nothing behind a clip's end; centres in ms."""

    values: np.ndarray
    times: np.ndarray  # (clips, frames)

    @classmethod
    def of(cls, clips: Sequence[np.ndarray], times: Sequence[np.ndarray]) -> "Probabilities":
        """From (frames, classes) and (frames,) a clip."""
        longest = max(len(clip) for clip in clips)
        values = np.zeros((len(clips), clips[0].shape[1], longest), np.float32)
        padded = np.zeros((len(clips), longest))
        for i, (clip, centres) in enumerate(zip(clips, times, strict=True)):
            values[i, :, : len(clip)] = clip.T
            padded[i, : len(clip)] = centres
        return cls(values, padded)

    @property
    def hop(self) -> float:
        """ms from frame to frame."""
        steps = np.diff(self.times[:, :2], axis=1)
        return float(steps.max()) if steps.size else 0.0

    def events(self, threshold: float, median_ms: float) -> Lanes:
        """Runs of frames over a threshold, after a median filter of about so many ms; from centre to centre."""
        active = self.values > threshold
        half = max(0, round((median_ms / self.hop - 1) / 2)) if self.hop else 0  # 2 * half + 1 frames
        if half:
            padded = np.pad(active, ((0, 0), (0, 0), (half + 1, half)))
            sums = np.cumsum(padded, axis=2, dtype=np.int32)
            active = sums[:, :, 2 * half + 1 :] - sums[:, :, : -2 * half - 1] > half
        edges = np.diff(np.pad(active, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=2)
        clip, kind, first = np.nonzero(edges > 0)
        last = np.nonzero(edges < 0)[2] - 1
        clips, classes = self.values.shape[:2]
        return Lanes(clip * classes + kind, self.times[clip, first], self.times[clip, last], clips, classes)


def matched(found: Lanes, real: Lanes, tolerance: float) -> np.ndarray:
    """The largest number of pairs of onsets of one class, at most a tolerance apart, in each clip: (clips,).

    On a line with one tolerance for all, pairing from left to right leaves no better pairing.
    """
    hits = np.zeros(found.clips, np.int64)
    a, b = found.lane * APART + found.onset, real.lane * APART + real.onset
    order_a, order_b = np.argsort(a), np.argsort(b)
    left, right = a[order_a].tolist(), b[order_b].tolist()
    clips = (real.lane[order_b] // real.classes).tolist()
    i = j = 0
    while i < len(left) and j < len(right):
        if abs(left[i] - right[j]) <= tolerance:
            hits[clips[j]] += 1
            i, j = i + 1, j + 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return hits


def segment_error_rate(found: Lanes, real: Lanes, segment_ms: float = 1000.0) -> float:
    """Substituted, deleted and inserted labels of segments, over the labels there are."""
    length = 1 + int(max([*found.offset, *real.offset, 0.0]) // segment_ms)
    rolls = [_roll(lanes, length, segment_ms) for lanes in (found, real)]
    told, true = (roll.sum(1) for roll in rolls)
    right = (rolls[0] & rolls[1]).sum(1)
    return float((np.maximum(told, true) - right).sum() / max(1, true.sum()))


def _roll(lanes: Lanes, length: int, segment_ms: float) -> np.ndarray:
    """Which classes sound in which segments: (clips, classes, segments)."""
    roll = np.zeros((lanes.clips * lanes.classes, length), bool)
    first = np.floor(lanes.onset / segment_ms).astype(int)
    last = np.ceil(lanes.offset / segment_ms).astype(int)
    for lane, start, stop in zip(lanes.lane, first, last, strict=True):
        roll[lane, start:stop] = True
    return roll.reshape(lanes.clips, lanes.classes, length)
