"""Clips of any lengths -> frames -> scene embeddings: the cutting, batching, blending and pooling of every use.

``Embedder`` uses it for inference, in batches of bounded size; ``training.objectives.classify`` uses it with gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor, nn

from .encoder import ClipContext, Encoder
from .windows import Blend, Grid, Window

UNBOUNDED = 1 << 30  # a batch size that no batch reaches

Encode = Callable[[Tensor], Tensor]  # features of windows of one length -> frames, (windows, frames, dim)


class FeatureSource(Protocol):
    """Waveform to features; every ``Encoder`` is one."""

    def count(self, samples: int) -> int:
        """Feature frames of a clip of this many samples."""

    def clip_context(self, audio: Tensor) -> ClipContext:
        """What features need to know of a whole clip."""

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """Waveforms (batch, samples) -> feature frames start..stop."""


@dataclass(frozen=True)
class Piece:
    """One window of some clips of equal length.

    Attributes:
        clips: their rows among all clips.
        window: its place in time.
        features: (clips, feature frames, ...).
    """

    clips: slice
    window: Window
    features: Tensor


@dataclass(frozen=True)
class WindowedEncoder:
    """An encoder on clips of any lengths.

    Attributes:
        encoder: its facts are used, and not its functions.
        front: waveform to features.
        encode: features of windows to frames.
        batch_size: windows of one forward, at most.
    """

    encoder: Encoder
    front: FeatureSource
    encode: Encode
    batch_size: int = UNBOUNDED

    def frames(self, groups: Sequence[Tensor], grids: Sequence[Grid]) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yields (rows of clips, indices of their frames, frames) until all are done, in any order.

        Args:
            groups: clips of one length each, (clips, samples).
            grids: the frames of each group.
        """
        blend = Blend()
        queues: dict[int, list[Piece]] = {}  # by columns: windows of one length share a forward
        for rows, group, grid in zip(rows_of(groups), groups, grids, strict=True):
            for piece in self._pieces(rows, group, grid):
                columns = self.columns(piece)
                queue = queues.setdefault(columns, [])
                queue.append(piece)
                if sum(len(piece.features) for piece in queue) >= self.batch_size:
                    yield from self._encoded(queues.pop(columns), columns, blend)
        for columns, queue in queues.items():
            yield from self._encoded(queue, columns, blend)

    def scenes(self, groups: Sequence[Tensor], dim: int, *, std: bool, variance_floor: float = 0.0) -> Tensor:
        """One vector a clip, float32: the mean of its frames, and their standard deviation behind it if ``std``.

        Sums are float64. With gradients, ``variance_floor`` must be above 0: a root has no slope at 0.
        """
        clips = sum(len(group) for group in groups)
        device = next(self.encoder.parameters()).device
        sums = torch.zeros(2, clips, dim, dtype=torch.float64, device=device)
        counts = torch.ones(clips, 1, dtype=torch.float64, device=device)
        grids = [self.encoder.geometry.native(self.front.count(group.shape[1])) for group in groups]
        for rows, _, frames in self.frames(groups, grids):
            sums[:, rows] += torch.stack([frames.sum(1, dtype=torch.float64), frames.double().square().sum(1)])
        for rows, grid in zip(rows_of(groups), grids, strict=True):
            counts[rows] = grid.count
        mean, square = sums / counts
        if not std:
            return mean.float()
        return torch.cat([mean, (square - mean.square()).clamp(min=variance_floor).sqrt()], dim=-1).float()

    def _pieces(self, rows: slice, group: Tensor, grid: Grid) -> Iterator[Piece]:
        """All windows of clips of one length. The features of neighbouring windows are computed together, once."""
        total = self.front.count(group.shape[1])
        context = self.front.clip_context(group) if len(group) else None
        for row in range(0, len(group), self.batch_size):
            audio = group[row : row + self.batch_size]
            audio_context = None if context is None else context[row : row + self.batch_size]
            clips = slice(rows.start + row, rows.start + row + len(audio))
            windows = self.encoder.geometry.windows(grid)
            while run := list(islice(windows, max(grid.passes, self.batch_size // len(audio)))):
                start, stop = span(run, grid.patch)
                inside = self.front.features(audio, max(start, 0), min(stop, total), audio_context)
                yield from self.cut(inside, run, clips, total)

    def cut(self, features: Tensor, run: list[Window], clips: slice, total: int) -> Iterator[Piece]:
        """Features of all frames of a clip's ``total`` that neighbouring windows span -> those of each window."""
        patch = self.encoder.geometry.patch
        start, stop = span(run, patch)
        padded = pad_time(features, max(-start, 0), max(stop - total, 0), self.encoder.silence)
        for window in run:
            first = window.start - start
            yield Piece(clips, window, padded[:, first : first + window.columns * patch])

    def columns(self, piece: Piece) -> int:
        """The length that a window is encoded at; windows of one length share a forward."""
        return self.encoder.geometry.columns if self.encoder.pad_short else piece.window.columns

    def _encoded(self, queue: list[Piece], columns: int, blend: Blend) -> Iterator[tuple[slice, slice, Tensor]]:
        for piece, frames in self.encoded(queue, columns):
            if self.encoder.geometry.stride:
                yield blend.add(piece.clips, piece.window, frames)
            else:
                yield piece.clips, piece.window.frames, frames

    def encoded(self, queue: list[Piece], columns: int) -> Iterator[tuple[Piece, Tensor]]:
        """Frames of windows of one length, (clips, frames, dim), ``batch_size`` windows a forward."""
        width = columns * self.encoder.geometry.patch
        full = [pad_time(piece.features, 0, width - piece.features.shape[1], self.encoder.silence) for piece in queue]
        encoded = torch.cat([self.encode(batch) for batch in torch.cat(full).split(self.batch_size)])
        counts = [len(piece.features) for piece in queue]
        for piece, padded in zip(queue, encoded.split(counts), strict=True):
            yield piece, padded[:, : piece.window.columns]


def rows_of(groups: Sequence[Tensor]) -> Iterator[slice]:
    """The rows of each group among the clips of all groups."""
    start = 0
    for group in groups:
        yield slice(start, start + len(group))
        start += len(group)


def span(run: Sequence[Window], patch: int) -> tuple[int, int]:
    """The feature frames from the first to the last of neighbouring windows; may reach beyond the clip."""
    return min(window.start for window in run), max(window.start + window.columns * patch for window in run)


def pad_time(features: Tensor, before: int, after: int, value: float) -> Tensor:
    """Adds frames of one value in front of and behind (batch, frames, ...)."""
    if not before and not after:
        return features
    return nn.functional.pad(features, (0, 0) * (features.ndim - 2) + (before, after), value=value)
