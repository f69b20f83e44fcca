"""Where the embedding frames of a clip lie, and which windows of features give them.

All of it is exact integer arithmetic, in feature frames (10 ms in most methods) and in half samples, so that neither a
rounded hop nor a float32 sum can let timestamps drift from the frames they name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest

import torch
from torch import Tensor

from .fields import is_number


@dataclass(frozen=True)
class Geometry:
    """How one encoder lays frames over time; constant for a model."""

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
        """The hops that frame-shifted passes can reach: milliseconds -> feature frames, longest first."""
        divisors = [d for d in range(self.patch, 0, -1) if self.patch % d == 0]
        return {1000 * d * self.step / self.sample_rate: d for d in divisors}

    def choose_hop(self, hop_ms: float | None) -> int:
        """Feature frames of the wanted hop; by default of the longest that HEAR's 50 ms allow."""
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
        """Frames each ``hop`` feature frames with centres within the clip, the first less than a hop from its start.

        A clip too short to hold a single centre gets the one frame that starts with it.
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
    """A run of neighbouring patches that one forward sees together."""

    start: int  # its first feature frame; may lie before the clip
    columns: int  # its patches
    frames: slice  # which frames of the grid they are
    done: int = 0  # where windows overlap: how many of its patches no later window has a part in


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
        """Those of its frames that lie side by side: each patch once, from the first frame on."""
        return Grid(self.first, self.patch, self.patch, -(-self.count // self.passes))

    def between(self, coarse: Tensor) -> Tensor:
        """All frames from those of the coarse grid, (clips, frames, dim), by straight lines; the last one holds."""
        return between(coarse, self.passes, self.count)

    def windows(self, columns: int) -> Iterator[Window]:
        """All windows of at most ``columns`` patches, in order of time, those of the shifted passes side by side."""
        longest = -(-self.count // self.passes)
        for column in range(0, longest, columns):
            for shift in range(min(self.passes, self.count)):
                here = min(columns, -(-(self.count - shift) // self.passes) - column)
                if here > 0:
                    start = self.first + shift * self.step + column * self.patch
                    yield Window(start, here, every(self.passes, shift + column * self.passes, here))

    def overlapping(self, columns: int, stride: int) -> Iterator[Window]:
        """Full windows each ``stride`` patches, in order of time, those of the shifted passes side by side.

        The last one of a pass ends with the clip, and only a short clip's is not full.
        """
        passes = [self._overlapping(shift, columns, stride) for shift in range(min(self.passes, self.count))]
        yield from (window for window in chain(*zip_longest(*passes)) if window)

    def _overlapping(self, shift: int, columns: int, stride: int) -> Iterator[Window]:
        """Those of one pass."""
        count = -(-(self.count - shift) // self.passes)
        last = max(0, count - columns)
        starts = [*range(0, last, stride), last]
        for start, following in zip(starts, [*starts[1:], count], strict=True):
            here = min(columns, count - start)
            frames = every(self.passes, shift + start * self.passes, here)
            yield Window(self.first + shift * self.step + start * self.patch, here, frames, following - start)


def every(step: int, first: int, count: int) -> slice:
    """So many places, from the first on, a step apart."""
    return slice(first, first + (count - 1) * step + 1, step)


def between(coarse: Tensor, steps: int, count: int) -> Tensor:
    """Frames (clips, frames, dim) -> ``count`` of them, ``steps`` to each, by straight lines; the last one holds."""
    place = torch.arange(count, device=coarse.device)
    left = place // steps
    right = (left + 1).clamp(max=coarse.shape[1] - 1)
    return torch.lerp(coarse[:, left], coarse[:, right], (place % steps / steps).to(coarse.dtype)[:, None])


class Blend:
    """Frames of overlapping windows -> each frame once: their mean, weighted by a triangle over each window.

    A window knows least about its edges. The windows of a clip's pass come in order of time, and each begins where
    frames are still open; those that no later window has a part in leave at once, so that less than a window is held.
    """

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # clip, pass -> sums, weights of open frames

    def add(self, clip: slice, window: Window, frames: Tensor) -> tuple[slice, slice, Tensor]:
        """The next window of some clips, (clips, columns, dim) -> (which clips, which frames, those that are done)."""
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
    place = torch.arange(columns, device=device)
    return (torch.minimum(place, columns - 1 - place) + 1).float()[:, None]
