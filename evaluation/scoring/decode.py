"""Events from frame probabilities, and their counts: matched onsets and segment errors.

The counts are those of sed_eval, which HEAR's kit calls. Onsets of one class are matched one to one within a tolerance,
as many as possible; hits are summed over classes. Segments of one second count substitutions, deletions and insertions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..tasks.write import Event

APART = 1e9  # ms between lanes: onsets of different lanes never match


@dataclass(frozen=True)
class EventTable:
    """The events of all clips and classes: one row an event, sorted by lane and time.

    Attributes:
        lane: clip * classes + class; a lane is one class of one clip.
        onset, offset: ms.
    """

    lane: np.ndarray
    onset: np.ndarray
    offset: np.ndarray
    clips: int
    classes: int

    @classmethod
    def of(cls, clips: Sequence[Sequence[Event]], vocabulary: Sequence[str]) -> "EventTable":
        places = {label: i for i, label in enumerate(vocabulary)}
        rows = sorted(
            (clip * len(vocabulary) + places[event.label], event.start, event.end)
            for clip, events in enumerate(clips)
            for event in events
        )
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        return cls(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], len(clips), len(vocabulary))

    def per_clip(self) -> np.ndarray:
        """The number of events in each clip, (clips,)."""
        return np.bincount(self.lane // self.classes, minlength=self.clips)


@dataclass(frozen=True)
class Probabilities:
    """A head's probabilities, (clips, classes, frames), zero after a clip's end; frame centres in ms."""

    values: np.ndarray
    times: np.ndarray  # (clips, frames)

    @classmethod
    def of(cls, clips: Sequence[np.ndarray], times: Sequence[np.ndarray]) -> "Probabilities":
        """Stacks (frames, classes) and (frames,) of each clip."""
        longest = max(len(clip) for clip in clips)
        values = np.zeros((len(clips), clips[0].shape[1], longest), np.float32)
        padded = np.zeros((len(clips), longest))
        for i, (clip, centres) in enumerate(zip(clips, times, strict=True)):
            values[i, :, : len(clip)] = clip.T
            padded[i, : len(clip)] = centres
        return cls(values, padded)

    @property
    def hop(self) -> float:
        """Hop between frames in ms."""
        steps = np.diff(self.times[:, :2], axis=1)
        return float(steps.max()) if steps.size else 0.0

    def events(self, threshold: float, median_ms: float) -> EventTable:
        """Runs of frames above a threshold, smoothed by a median filter of about ``median_ms``."""
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
        return EventTable(clip * classes + kind, self.times[clip, first], self.times[clip, last], clips, classes)


def matched_onsets(predicted: EventTable, reference: EventTable, tolerance: float) -> np.ndarray:
    """The maximum number of onset pairs of one class within a tolerance, in each clip: (clips,).

    On a line with a constant tolerance, greedy pairing from left to right is optimal.
    """
    hits = np.zeros(predicted.clips, np.int64)
    a, b = predicted.lane * APART + predicted.onset, reference.lane * APART + reference.onset
    order_a, order_b = np.argsort(a), np.argsort(b)
    left, right = a[order_a].tolist(), b[order_b].tolist()
    clips = (reference.lane[order_b] // reference.classes).tolist()
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


def segment_error_rate(predicted: EventTable, reference: EventTable, segment_ms: float = 1000.0) -> float:
    """Substitutions, deletions and insertions in segments, divided by the reference labels."""
    length = 1 + int(max([*predicted.offset, *reference.offset, 0.0]) // segment_ms)
    rolls = [_roll(lanes, length, segment_ms) for lanes in (predicted, reference)]
    active, active_reference = (roll.sum(1) for roll in rolls)
    correct = (rolls[0] & rolls[1]).sum(1)
    return float((np.maximum(active, active_reference) - correct).sum() / max(1, active_reference.sum()))


def _roll(lanes: EventTable, length: int, segment_ms: float) -> np.ndarray:
    """The active classes of each segment: (clips, classes, segments)."""
    roll = np.zeros((lanes.clips * lanes.classes, length), bool)
    first = np.floor(lanes.onset / segment_ms).astype(int)
    last = np.ceil(lanes.offset / segment_ms).astype(int)
    for lane, start, stop in zip(lanes.lane, first, last, strict=True):
        roll[lane, start:stop] = True
    return roll.reshape(lanes.clips, lanes.classes, length)
