"""Group masked model learning: what ASiT hides from its student (section III of the paper).

Rectangles of random size are laid over a spectrogram until enough of it is covered. What they cover is dropped (set to
zero, the mean of the data) or, in some crops, taken from the same place of another crop. Drawing and laying are apart:
all random numbers come from a generator on the CPU, so that a seed means the same corruption on any device, and laying
is a function of them, without a loop over rectangles.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

BLOCKS = 127  # rectangles drawn for a crop; published ones need 55 on average
LONGEST = 0.3  # of an axis, that a rectangle may take
Shapes = Literal["blocks", "even", "patches"]


@dataclass(frozen=True)
class Corrupted:
    """Crops as the student sees them.

    Attributes:
        pictures: (crops, frames, bands).
        mask: where they differ from the clean ones, the same shape, bool.
    """

    pictures: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Corruption:
    """What is hidden, and how much.

    Attributes:
        drop: the most of a crop that is dropped; how much is drawn anew, from half a crop on.
        replace: how much is replaced in the crops where others take the place.
        odds: share of the crops that are replaced from others instead of dropped; a crop may draw itself.
        align: rectangles begin and end on multiples of so many pixels.
        shapes: "blocks" as published, whose corners are drawn inside, so that first rows and columns are seldom
            covered; "even" lets them begin outside, and covers all alike; "patches" takes single squares of ``align``
            pixels instead of rectangles.
    """

    drop: float = 0.7
    replace: float = 0.3
    odds: float = 0.5
    align: int = 1
    shapes: Shapes = "blocks"

    def __post_init__(self) -> None:
        if self.shapes not in ("blocks", "even", "patches"):
            raise ValueError(f"shapes={self.shapes!r}: choose blocks, even or patches")
        if not (0 < self.drop < 1 and 0 < self.replace < 1 and 0 <= self.odds <= 1):
            raise ValueError("drop, replace and odds are shares of one; drop and replace may be neither 0 nor 1")

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Corrupted:
        """Clean crops of one view, (crops, frames, bands) -> corrupted ones."""
        crops, size, device = len(clean), (clean.shape[1], clean.shape[2]), clean.device
        replaced = torch.rand(crops, generator=generator) < self.odds
        other = torch.randint(crops, (crops,), generator=generator)
        drawn = torch.rand(crops, generator=generator, dtype=torch.float64)
        share = torch.where(replaced, _share(self.replace, drawn), _share(self.drop, drawn))
        if self.shapes == "patches":
            mask = squares(torch.rand(crops, *_cells(size, self.align), generator=generator), share, size).to(device)
        else:
            mask, _ = lay(self.draw(crops, size, generator).to(device), share.to(device), size, self.align)
        filling = clean[other.to(device)] * replaced.to(device)[:, None, None]
        return Corrupted(torch.where(mask, filling, clean), mask)

    def draw(self, crops: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Row, column, height and width of the rectangles of each crop before alignment, (crops, BLOCKS, 4)."""
        edges, lengths = [], []
        for pixels in size:
            longest = max(self.align + 1, int(LONGEST * pixels))
            first = 0 if self.shapes == "blocks" else 1 - longest
            edges.append(_integers(first, pixels - self.align * (self.shapes == "blocks"), crops, generator))
            lengths.append(_integers(self.align, longest, crops, generator))
        return torch.stack([*edges, *lengths], dim=-1)


def lay(draws: Tensor, share: Tensor, size: tuple[int, int], align: int = 1) -> tuple[Tensor, Tensor]:
    """Lays rectangles (crops, n, 4) one after another until a share (crops,) of each crop is covered.

    Returns:
        The masks, (crops, frames, bands), bool, and how many rectangles each took, (crops,).
    """
    inside = [_spans(draws[..., axis], draws[..., axis + 2], size[axis], align) for axis in (0, 1)]
    number = torch.arange(draws.shape[1], device=draws.device)

    def union(count: Tensor) -> Tensor:
        rows = (inside[0] & (number < count[:, None])[..., None]).float()
        return torch.einsum("bnf,bnm->bfm", rows, inside[1].float()) > 0.5

    enough = share * (size[0] * size[1])
    count = torch.zeros_like(share, dtype=torch.long)  # the most rectangles that cover too little
    for bit in reversed(range(draws.shape[1].bit_length())):
        more = count + (1 << bit)
        covered = union(more).sum((1, 2))
        count = torch.where((more <= draws.shape[1]) & (covered < enough), more, count)
    count = (count + 1).clamp(max=draws.shape[1])
    return union(count), count


def squares(order: Tensor, share: Tensor, size: tuple[int, int]) -> Tensor:
    """Hides the cells that come first in a random order (crops, rows, columns), up to a share of each crop."""
    rank = order.flatten(1).argsort(1).argsort(1).view_as(order)
    cells = order[0].numel()
    mask = rank < (share * cells).ceil()[:, None, None]
    side = size[0] // order.shape[1]
    return mask.repeat_interleave(side, 1).repeat_interleave(side, 2)


def _spans(first: Tensor, length: Tensor, pixels: int, align: int) -> Tensor:
    """Which pixels of an axis each rectangle covers, from its raw draws, (crops, n, pixels), bool."""
    start = first.div(align, rounding_mode="floor") * align
    length = (torch.minimum(length, pixels - start) / align).round().long() * align  # half to even, as published
    pixel = torch.arange(pixels, device=first.device)
    return (pixel >= start[..., None]) & (pixel < (start + length)[..., None])


def _share(most: float, drawn: Tensor) -> Tensor:
    """Uniform between half a crop, or less where ``most`` is less, and ``most``."""
    least = min(0.5, most)
    return least + (most - least) * drawn


def _cells(size: tuple[int, int], side: int) -> tuple[int, int]:
    if size[0] % side or size[1] % side:
        raise ValueError(f"crops of {size[0]} x {size[1]} pixels cannot be cut into squares of {side}: change align")
    return size[0] // side, size[1] // side


def _integers(low: int, high: int, crops: int, generator: torch.Generator) -> Tensor:
    return torch.randint(low, high, (crops, BLOCKS), generator=generator)
