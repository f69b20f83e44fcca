"""The grid of embedding frames over a clip, the windows of features that they come from, and the blend of windows.

All positions are exact integers, in feature frames (10 ms in most methods) or in half samples. So timestamps cannot
drift from their frames, as they would with a rounded hop or a float32 sum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest

import torch
from torch import Tensor

from .fields import is_number


@dataclass(frozen=True)
class Geometry:
    """How the frames of an encoder lie over time; constant for a model."""

    sample_rate: int
    step: int  # samples from one feature frame to the next
    origin: int  # the sample that feature frame 0 is centred on
    patch: int  # feature frames under one embedding frame
    columns: int  # embedding frames in one window
    stride: int = 0  # embedding frames from one window to the next where windows overlap; 0 where they do not

    def __post_init__(self) -> None:
        if self.stride and not 0 < self.stride < self.columns:
            raise ValueError(f"a stride of {self.stride} frames does not make windows of {self.columns} overlap")

    def windows(self, grid: "Grid") -> Iterator["Window"]:
        """All windows of a grid, in order of time."""
        return grid.overlapping(self.columns, self.stride) if self.stride else grid.windows(self.columns)

    def hops(self) -> dict[float, int]:
        """The hops that frame-shifted passes can have: milliseconds -> feature frames, longest first."""
        divisors = [d for d in range(self.patch, 0, -1) if self.patch % d == 0]
        return {1000 * d * self.step / self.sample_rate: d for d in divisors}

    def choose_hop(self, hop_ms: float | None) -> int:
        """Feature frames of a hop in milliseconds; by default the longest hop of at most 50 ms, HEAR's limit."""
        hops = self.hops()
        if hop_ms is None:
            return next((frames for ms, frames in hops.items() if ms <= 50), 1)
        if is_number(hop_ms):
            for ms, frames in hops.items():
                if abs(ms - hop_ms) < 1e-3:
                    return frames
        choices = ", ".join(f"{ms:g}" for ms in hops)
        raise ValueError(f"hop_ms={hop_ms!r} is not a hop of this model; choose one of {choices}")

    def native(self, features: int) -> "Grid":
        """The encoder's own frames, side by side from the first sample on; the last may be partly padded."""
        return Grid(0, self.patch, self.patch, -(-features // self.patch))

    def centred(self, samples: int, hop: int) -> "Grid":
        """Frames at every ``hop`` feature frames whose centres lie in the clip; the first is within a hop of its start.

        A clip too short for any centre gets one frame, which starts with the clip.
        """
        earliest = -(self._twice_centre(0) // (2 * self.step))  # the first feature frame with its patch centre at >= 0
        first = -(-earliest // hop) * hop
        span = 2 * samples - self._twice_centre(first)
        return Grid(first, hop, self.patch, 1 + span // (2 * hop * self.step)) if span >= 0 else self.native(1)

    def timestamps(self, grid: "Grid", samples: int) -> Tensor:
        """Centres of a grid's frames in milliseconds, (frames,), float32 of exact float64 values."""
        first = self._twice_centre(grid.first)
        if grid.count == 1 and first > 2 * samples:
            first = samples  # the middle of a clip that is shorter than its one frame
        twice = first + 2 * grid.step * self.step * torch.arange(grid.count, dtype=torch.float64)
        return (twice * (500 / self.sample_rate)).float()

    def _twice_centre(self, start: int) -> int:
        """Twice the sample in the middle of a patch that starts at this feature frame."""
        return 2 * self.origin + self.step * (2 * start + self.patch - 1)


@dataclass(frozen=True)
class Window:
    """Neighbouring columns of patches that one forward sees together."""

    start: int  # first feature frame; may lie before the clip
    columns: int
    frames: slice  # the frames of the grid that the columns are
    done: int = 0  # of overlapping windows: leading columns that no later window covers


@dataclass(frozen=True)
class Grid:
    """Frame j covers the feature frames ``first + j * step`` to ``first + j * step + patch``."""

    first: int
    step: int
    patch: int
    count: int

    @property
    def passes(self) -> int:
        """Passes over the clip, each shifted by a step, whose frames interleave."""
        return self.patch // self.step

    def coarse(self) -> "Grid":
        """The frames of one pass: patches side by side, from the first frame on."""
        return Grid(self.first, self.patch, self.patch, -(-self.count // self.passes))

    def between(self, coarse: Tensor) -> Tensor:
        """Linear interpolation of all frames from those of the coarse grid, (clips, frames, dim)."""
        return between(coarse, self.passes, self.count)

    def windows(self, columns: int) -> Iterator[Window]:
        """All windows of at most ``columns`` columns in order of time, the shifted passes interleaved."""
        longest = -(-self.count // self.passes)
        for column in range(0, longest, columns):
            for shift in range(min(self.passes, self.count)):
                width = min(columns, -(-(self.count - shift) // self.passes) - column)
                if width > 0:
                    start = self.first + shift * self.step + column * self.patch
                    yield Window(start, width, every(self.passes, shift + column * self.passes, width))

    def overlapping(self, columns: int, stride: int) -> Iterator[Window]:
        """Full windows at every ``stride`` columns in order of time, the shifted passes interleaved.

        The last window of a pass ends with the clip. Only a clip shorter than a window has one that is not full.
        """
        passes = [self._overlapping(shift, columns, stride) for shift in range(min(self.passes, self.count))]
        yield from (window for window in chain(*zip_longest(*passes)) if window)

    def _overlapping(self, shift: int, columns: int, stride: int) -> Iterator[Window]:
        """The overlapping windows of one pass."""
        count = -(-(self.count - shift) // self.passes)
        last = max(0, count - columns)
        for start, following in pairwise(chain(range(0, last, stride), (last, count))):
            width = min(columns, count - start)
            frames = every(self.passes, shift + start * self.passes, width)
            yield Window(self.first + shift * self.step + start * self.patch, width, frames, following - start)


def every(step: int, first: int, count: int) -> slice:
    """The slice of ``count`` indices from ``first`` on, ``step`` apart."""
    return slice(first, first + (count - 1) * step + 1, step)


def between(coarse: Tensor, steps: int, count: int) -> Tensor:
    """Linear interpolation of frames (clips, frames, dim) to ``count`` frames, ``steps`` for each; the last is held."""
    index = torch.arange(count, device=coarse.device)
    left = index // steps
    right = (left + 1).clamp(max=coarse.shape[1] - 1)
    return torch.lerp(coarse[:, left], coarse[:, right], (index % steps / steps).to(coarse.dtype)[:, None])


class Blend:
    """Overlapping windows -> each frame once: the mean over windows, weighted by a triangle over each window.

    A frame at the edge of a window has the least context, so it weighs least. The windows of a clip must come in order
    of time. A frame is complete when no later window covers it. Complete frames are handed out at once, so that less
    than a window is held.
    """

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # clip, pass -> sums, weights of incomplete frames

    def add(self, clip: slice, window: Window, frames: Tensor) -> tuple[slice, slice, Tensor]:
        """The next window of some clips, (clips, columns, dim) -> (rows of clips, indices, complete frames)."""
        start, step, done = window.frames.start, window.frames.step, window.done
        weight = triangle(window.columns, frames.device)
        sums, weights = frames * weight, weight.clone()
        key = clip.start, start % step
        if key in self.held:
            earlier, earlier_weights = self.held.pop(key)
            sums[:, : earlier.shape[1]] += earlier
            weights[: len(earlier_weights)] += earlier_weights
        if done < window.columns:
            self.held[key] = sums[:, done:].clone(), weights[done:]
        return clip, every(step, start, done), sums[:, :done] / weights[:done]


def triangle(columns: int, device: torch.device) -> Tensor:
    """1, 2, ... to the middle and back to 1: (columns, 1)."""
    index = torch.arange(columns, device=device)
    return (torch.minimum(index, columns - 1 - index) + 1).float()[:, None]
