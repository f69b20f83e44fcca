"""Features that come in blocks -> embedding frames in order of time, as soon as they are complete or in full batches.

``WindowedEncoder.frames`` does the same for whole clips. The windows are the same: all but the last of a clip are full,
and whether a window is full depends on nothing behind it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from .feature_stream import FeatureStream
from .windowed import Piece, WindowedEncoder, span
from .windows import Grid, Window, between, every, triangle

CLIP = slice(0, 1)


class FrameStream:
    """The frames of one clip that comes in blocks.

    Args:
        windowed: encoder and batch size.
        features: of the clip.
        grid_of: the frames of a clip of this many samples.
        live: whether a window is encoded as soon as it is complete. Otherwise the batches of windows are full.
    """

    def __init__(
        self,
        windowed: WindowedEncoder,
        features: FeatureStream,
        grid_of: Callable[[int], Grid],
        *,
        live: bool,
    ) -> None:
        self.windowed, self.features, self.grid_of, self.live = windowed, features, grid_of, live
        self.geometry = windowed.encoder.geometry
        self.grid = grid_of(1 << 40)  # of a clip without an end
        self.run = max(self.grid.passes, windowed.batch_size)  # windows whose features are computed together
        self.taken = 0  # windows whose features are cut
        self.queues: dict[int, list[Piece]] = {}  # by columns
        self.passes = [Pass() for _ in range(self.grid.passes)]
        self.given = 0  # frames handed out

    def add(self, audio: Tensor) -> Tensor:
        """The next samples, (1, samples) -> the frames that are complete, (frames, dim)."""
        self.features.add(audio)
        while run := self._ready_run():
            self._cut(run)
            self._encode(1 if self.live else self.windowed.batch_size)
        return self._complete(self.grid_of(self.features.samples))

    def finish(self) -> Iterator[Tensor]:
        """The frames that remain at the end of the clip, (frames, dim) each."""
        self.features.ended = True
        grid = self.grid_of(self.features.samples)
        if grid.passes != len(self.passes):  # of a clip without a centre in it
            self.passes = [Pass() for _ in range(grid.passes)]
        windows = islice(self.geometry.windows(grid), self.taken, None)
        while run := list(islice(windows, self.run)):
            self._cut(run)
            self._encode(self.windowed.batch_size)
            yield self._complete(grid)
        self._encode(1)
        yield self._complete(grid, all_encoded=True)

    def _ready_run(self) -> list[Window]:
        """The next windows that no later sample changes: all of them, or as many as make full batches."""
        most, grid = self.run, self.grid_of(self.features.samples)
        if not self.live:
            last = self._full(self.taken + most - 1)
            return [self._full(self.taken + i) for i in range(most)] if self._is_ready(last, grid) else []
        run: list[Window] = []
        while len(run) < most and self._is_ready(window := self._full(self.taken + len(run)), grid):
            run.append(window)
        return run

    def _full(self, number: int) -> Window:
        """A window by its number, if it is full."""
        row, shift = divmod(number, self.grid.passes)
        column = row * (self.geometry.stride or self.geometry.columns)
        start = self.grid.first + shift * self.grid.step + column * self.grid.patch
        columns = self.geometry.columns
        return Window(start, columns, every(self.grid.passes, shift + column * self.grid.passes, columns))

    def _is_ready(self, window: Window, grid: Grid) -> bool:
        inside = window.start + window.columns * grid.patch <= self.features.ready
        return inside and window.frames.stop <= grid.count

    def _cut(self, run: list[Window]) -> None:
        """Queues windows with their features."""
        start, stop = span(run, self.grid.patch)
        total = self.features.ready
        inside = self.features(max(start, 0), min(stop, total))
        for piece in self.windowed.cut(inside, run, CLIP, total if self.features.ended else stop):
            self.queues.setdefault(self.windowed.columns(piece), []).append(piece)
        self.taken += len(run)
        # Where windows overlap, the last window may begin anywhere behind the one before.
        kept = self._full(max(0, self.taken - (self.grid.passes if self.geometry.stride else 0)))
        self.features.drop(kept.start)

    def _encode(self, least: int) -> None:
        """Encodes at least so many full windows at a time; shorter ones, the last of each pass, with the last alone."""
        size = self.windowed.batch_size
        for columns, queue in self.queues.items():
            while queue and (least == 1 or (len(queue) >= least and columns == self.geometry.columns)):
                for piece, frames in self.windowed.encoded(queue[:size], columns):
                    self._add(piece.window, frames[0])
                del queue[:size]

    def _add(self, window: Window, frames: Tensor) -> None:
        column, shift = divmod(window.frames.start, len(self.passes))
        if self.geometry.stride:
            self.passes[shift].blend(column, frames, triangle(window.columns, frames.device))
            self.passes[shift].settled = column + self.geometry.stride
        else:
            self.passes[shift].blend(column, frames, frames.new_ones(window.columns, 1))
            self.passes[shift].settled = column + window.columns

    def _complete(self, grid: Grid, *, all_encoded: bool = False) -> Tensor:
        """The next frames that no later window covers, in all passes, (frames, dim)."""
        passes, end = len(self.passes), grid.count
        for shift, each in enumerate(self.passes):
            final = each.stop if all_encoded else each.settled
            if self.geometry.stride and not all_encoded:  # the clip's last window begins here or later
                final = min(final, -(-(grid.count - shift) // passes) - self.geometry.columns)
            end = min(end, final * passes + shift)
        count = max(0, end - self.given)
        out: Tensor | None = None
        for i in range(min(passes, count)):
            frames = self.passes[(self.given + i) % passes].take(-(-(count - i) // passes))
            out = frames.new_empty(count, frames.shape[1]) if out is None else out
            out[i::passes] = frames
        self.given += count
        return torch.zeros(0, 0) if out is None else out


@dataclass
class Pass:
    """The frames of one pass that have not been handed out: weighted sums over the windows so far.

    Attributes:
        start: the first frame that is held.
        settled: frames that no later window covers, unless it is the clip's last.
    """

    start: int = 0
    settled: int = 0
    sums: Tensor | None = None
    weights: Tensor | None = None

    @property
    def stop(self) -> int:
        """Frames so far."""
        return self.start + (0 if self.sums is None else len(self.sums))

    def blend(self, column: int, frames: Tensor, weight: Tensor) -> None:
        """The frames of a window from ``column`` on, (columns, dim), and their weights, (columns, 1)."""
        sums, weights = frames * weight, weight
        if self.sums is not None and self.weights is not None and len(self.sums):
            first = column - self.start
            common = self.stop - column
            sums[:common] += self.sums[first:]
            weights[:common] += self.weights[first:]
            sums = torch.cat([self.sums[:first], sums])
            weights = torch.cat([self.weights[:first], weights])
        self.sums, self.weights = sums, weights

    def take(self, count: int) -> Tensor:
        """Hands out the next frames, (count, dim)."""
        assert self.sums is not None
        assert self.weights is not None
        frames = self.sums[:count] / self.weights[:count]
        self.sums, self.weights, self.start = self.sums[count:], self.weights[count:], self.start + count
        return frames


class Line:
    """Frames between those of one pass, by linear interpolation; the same as ``Grid.between``."""

    def __init__(self) -> None:
        self.last: Tensor | None = None

    def add(self, coarse: Tensor, steps: int) -> Tensor:
        """The next frames of the pass, (coarse frames, dim) -> all frames up to the last of them, (frames, dim)."""
        if not len(coarse):
            return coarse
        earlier = [] if self.last is None else [self.last]
        coarse, self.last = torch.cat([*earlier, coarse]), coarse[-1:].clone()
        return between(coarse[None], steps, (len(coarse) - 1) * steps + 1)[0, len(earlier) :]

    def finish(self, count: int) -> Tensor:
        """The last ``count`` frames, which hold the last value."""
        assert self.last is not None
        return self.last.expand(count, -1).clone()
