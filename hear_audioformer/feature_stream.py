"""Features of one clip that comes in blocks, computed from its last samples alone.

``Encoder.stream_features`` makes one. Only the samples that coming features depend on are held.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Features = Callable[[Tensor, int, int, Tensor | None], Tensor]  # audio, start, stop, clip context -> frames


class Statistics(Protocol):
    """What features must know of a whole clip, from the samples that have come so far."""

    def add(self, audio: Tensor) -> None:
        """The next samples, (1, samples)."""

    def value(self, ended: bool) -> Tensor:
        """The clip context of all samples so far, (1, ...); at the end that of ``Encoder.clip_context``."""


class Tail:
    """The end of a waveform that grows: the samples from ``first`` on.

    Attributes:
        samples: number of all samples so far.
    """

    def __init__(self) -> None:
        self.first = self.samples = 0
        self._held = torch.empty(1, 0)
        self._start = 0  # the sample at the beginning of ``_held``, which has room behind the last

    def add(self, audio: Tensor) -> None:
        """The next samples, (1, samples)."""
        stop = self.samples + audio.shape[1]
        if stop - self._start > self._held.shape[1]:
            kept = self._held[:, self.first - self._start : self.samples - self._start]
            self._held = audio.new_empty(1, 2 * (stop - self.first))
            self._held[:, : kept.shape[1]] = kept
            self._start = self.first
        self._held[:, self.samples - self._start : stop - self._start] = audio
        self.samples = stop

    def part(self, start: int, stop: int) -> Tensor:
        """The samples from ``start`` to ``stop``, or to the last, (1, samples)."""
        if start < self.first:
            raise IndexError(f"sample {start} is no longer held, only those from {self.first} on")
        return self._held[:, start - self._start : min(stop, self.samples) - self._start]

    def drop(self, first: int) -> None:
        """Samples before ``first`` are needed no more."""
        self.first = min(max(self.first, first), self.samples)


class FeatureStream:
    """Feature frames that each depend on the samples around them, and perhaps on statistics.

    Attributes:
        ended: whether no more samples come.
    """

    def __init__(
        self,
        features: Features,
        count: Callable[[int], int],
        step: int,
        reach: tuple[int, int],
        statistics: Statistics | None = None,
    ) -> None:
        self.features, self.count, self.step = features, count, step
        self.before, self.after = -(-reach[0] // step), reach[1]
        self.statistics = statistics
        self.tail = Tail()
        self.ended = False

    @property
    def samples(self) -> int:
        """Number of all samples so far."""
        return self.tail.samples

    @property
    def ready(self) -> int:
        """Feature frames that no later sample changes."""
        if self.ended:
            return self.count(self.samples)
        return max(0, (self.samples - self.after) // self.step + 1)

    def add(self, audio: Tensor) -> None:
        """The next samples, (1, samples)."""
        self.tail.add(audio)
        if self.statistics is not None:
            self.statistics.add(audio)

    def __call__(self, start: int, stop: int) -> Tensor:
        """Feature frames start..stop, at most those that are ready, (1, stop - start, ...)."""
        first = max(0, start - self.before)
        part = self.tail.part(first * self.step, (stop - 1) * self.step + self.after)
        context = None if self.statistics is None else self.statistics.value(self.ended)
        return self.features(part, start - first, stop - first, context)

    def drop(self, start: int) -> None:
        """Feature frames before ``start`` are asked for no more."""
        self.tail.drop((start - self.before) * self.step)


class Fixed:
    """Statistics that are known from an earlier reading of the same clip."""

    def __init__(self, context: Tensor) -> None:
        self.context = context

    def add(self, audio: Tensor) -> None:
        """Changes nothing."""

    def value(self, ended: bool) -> Tensor:
        """The same at any time."""
        return self.context
