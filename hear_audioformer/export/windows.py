"""Windows, shifted passes and blending of ``windowed.py`` as index arithmetic, for a graph of any length.

All windows of one length are rows of one batch. Windows that lie side by side need two forwards, of the full windows
and of the last ones at their own length; the passes of fine timestamps may differ by a column, so that there are three.
A forward whose batch is empty costs nothing. Overlapping windows need one forward, or two with shifted passes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..windows import Geometry, triangle
from .sizes import free, least, most, parts, whole

Encode = Callable[[Tensor], Tensor]  # features of windows (windows, feature frames, ...) -> (windows, columns, dim)


@dataclass(frozen=True)
class FreeGrid:
    """A ``windows.Grid`` whose numbers may be unknown to the tracer.

    Attributes:
        first: feature frame of the first frame, a whole number in a tensor ().
        step: feature frames from one frame to the next.
        passes: shifted passes over the clip.
        count: frames.
    """

    first: Tensor
    step: int
    passes: int
    count: int

    @classmethod
    def native(cls, geometry: Geometry, features: int) -> "FreeGrid":
        """As ``Geometry.native``."""
        return cls(whole(0), geometry.patch, 1, free(parts(features, geometry.patch), 1))

    @classmethod
    def centred(cls, geometry: Geometry, samples: int, hop: int) -> "FreeGrid":
        """As ``Geometry.centred``."""
        first = geometry.centred(1 << 30, hop).first  # that of any clip but the shortest
        span = 2 * samples - geometry._twice_centre(first)
        count = free(1 + most(span, 0) // (2 * hop * geometry.step), 1)
        return cls(torch.where(whole(span) >= 0, first, 0), hop, geometry.patch // hop, count)

    def timestamps(self, geometry: Geometry, samples: int) -> Tensor:
        """As ``Geometry.timestamps``, (frames,)."""
        first = 2 * geometry.origin + geometry.step * (2 * self.first + geometry.patch - 1)
        alone = (whole(self.count) == 1) & (first > whole(2 * samples))
        first = torch.where(alone, whole(samples), first)
        twice = first + 2 * self.step * geometry.step * torch.arange(self.count)
        return (twice.double() * (500 / geometry.sample_rate)).float()


@dataclass(frozen=True)
class Run:
    """Windows of one length.

    Attributes:
        shifts, columns: pass and first column of each window, (windows,).
        width: columns of a window.
        silent: the column of its pass from which on a window is silent, (windows,); needed where ``width`` is more.
    """

    shifts: Tensor
    columns: Tensor
    width: int
    silent: Tensor | None = None

    def frames(self, features: Tensor, grid: FreeGrid, patch: int, silence: float, encode: Encode) -> Tensor:
        """Features of whole clips (batch, feature frames, ...) -> (batch, windows * width, dim)."""
        total = whole(features.shape[1])
        silent = torch.full_like(features[:, :1], silence)
        starts = grid.first + self.shifts * grid.step + self.columns * patch
        index = starts[:, None] + torch.arange(self.width * patch)
        inside = (index >= 0) & (index < total)
        if self.silent is not None:
            inside &= index < (grid.first + self.shifts * grid.step + self.silent * patch)[:, None]
        index = torch.where(inside, index, total)
        windows = torch.cat([features, silent], dim=1)[:, index]
        encoded = encode(windows.flatten(0, 1))
        return encoded.unflatten(0, windows.shape[:2]).flatten(1, 2)

    def places(self, passes: int) -> Tensor:
        """Which frame of the grid each column of each window is, (windows * width,)."""
        columns = self.columns[:, None] + torch.arange(self.width)
        return (self.shifts[:, None] + columns * passes).flatten()


def encoded(
    geometry: Geometry, features: Tensor, grid: FreeGrid, encode: Encode, *, silence: float, pad_short: bool
) -> Tensor:
    """All frames of a grid, (batch, frames, dim)."""
    longest = parts(grid.count, grid.passes)
    long = grid.count - grid.passes * (longest - 1)  # passes that have ``longest`` columns; the others have one less
    if geometry.stride:
        return _overlapping(geometry, features, grid, encode, longest, long, silence)
    return _side_by_side(geometry, features, grid, encode, longest, long, silence, pad_short)


def _side_by_side(
    geometry: Geometry,
    features: Tensor,
    grid: FreeGrid,
    encode: Encode,
    longest: int,
    long: int,
    silence: float,
    pad_short: bool,
) -> Tensor:
    """Full windows, then the last window of each pass; every frame is gathered from where it was computed."""
    columns, passes, patch = geometry.columns, grid.passes, geometry.patch
    number = free((longest - 1) // columns, 0)
    rest = columns if pad_short else free(longest - number * columns, 1, columns)
    long = free(long, 1, passes)
    runs = [windows(0, passes, number, columns, columns), last(0, long, number * columns, rest)]
    frame = torch.arange(grid.count)
    shift, behind = frame % passes, frame // passes - whole(number * columns)  # columns behind the full windows
    full = passes * number * columns  # frames of the first run
    place = whole(full) + shift * whole(rest) + behind
    if passes > 1:
        left = longest - 1 - number * columns  # columns that the shorter passes have left, perhaps none
        short = columns if pad_short else free(most(left, 1), 1, columns)
        runs.append(last(long, free((passes - long) * least(left, 1), 0, passes), number * columns, short))
        others = whole(full + long * rest) + (shift - whole(long)) * whole(short) + behind
        place = torch.where(shift < whole(long), place, others)
    place = torch.where(behind < 0, shift * whole(number * columns) + frame // passes, place)
    if pad_short:
        runs = [replace(run, silent=whole(longest) - (run.shifts >= whole(long)).long()) for run in runs]
    done = [run.frames(features, grid, patch, silence, encode) for run in runs]
    return torch.cat(done, dim=1)[:, place]


def _overlapping(
    geometry: Geometry, features: Tensor, grid: FreeGrid, encode: Encode, longest: int, long: int, silence: float
) -> Tensor:
    """Overlapping windows, weighted by triangles as in ``windows.Blend``."""
    groups = [(0, long, longest)]
    if grid.passes > 1:
        groups.append((long, (grid.passes - long) * least(longest - 1, 1), most(longest - 1, 1)))
    weights, sums = features.new_zeros(grid.count, 1, dtype=torch.float32), None
    for first, passes, columns in groups:
        width = free(least(columns, geometry.columns), 1, geometry.columns)
        end = columns - width
        number = free(parts(end, geometry.stride) + 1, 1)
        run = windows(first, free(passes, 0, grid.passes), number, geometry.stride, width, end)
        place, weight = run.places(grid.passes), triangle(width, features.device).repeat(run.shifts.shape[0], 1)
        frames = run.frames(features, grid, geometry.patch, silence, encode) * weight
        sums = frames.new_zeros(frames.shape[0], grid.count, frames.shape[2]) if sums is None else sums
        sums = sums.index_add(1, place, frames)
        weights = weights.index_add(0, place, weight)
    assert sums is not None
    return sums / weights


def windows(shift: int, passes: int, number: int, stride: int, width: int, end: int | None = None) -> Run:
    """``number`` windows of each of ``passes`` passes from ``shift`` on; none starts behind column ``end``."""
    shifts, columns = torch.arange(passes) + whole(shift), torch.arange(number) * stride
    if end is not None:
        columns = torch.minimum(columns, whole(end))
    shifts, columns = shifts[:, None].expand(-1, number), columns.expand(passes, -1)
    return Run(shifts.flatten(), columns.flatten(), width)


def last(shift: int, passes: int, column: int, width: int) -> Run:
    """One window of each of ``passes`` passes from ``shift`` on, at a column."""
    shifts = torch.arange(passes) + whole(shift)
    return Run(shifts, torch.zeros_like(shifts) + whole(column), width)
