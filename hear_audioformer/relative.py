"""Positions as learnt functions of distance: what attention adds to its logits, along frequency and time apart.

The decomposed relative positions of MViTv2 (Li et al., CVPR 2022, arXiv 2112.01526, section 4.1). A table has a row for
each distance between a query and a key, counted in steps of the finer of their two grids, so it serves grids of any
length. What a length beyond training gets is a choice: "clamp" gives all larger distances the largest one's row, and a
step keeps its meaning; "stretch" resizes the table, as the vision models do with other image sizes.
"""

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Size = tuple[int, int]  # (frequency, time)
Positions = Literal["clamp", "stretch"]


@dataclass(frozen=True)
class Axis:
    """One axis of a pooled attention.

    Attributes:
        cells: of the input grid in training.
        query, key: strides at which queries and keys are pooled from it; one divides the other.
    """

    cells: int
    query: int
    key: int

    def __post_init__(self) -> None:
        if max(self.query, self.key) % min(self.query, self.key):
            raise ValueError(f"strides {self.query} and {self.key}: one must divide the other")

    def counts(self, cells: int) -> Size:
        """Queries and keys that so many cells are pooled to."""
        return -(-cells // self.query), -(-cells // self.key)

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return 2 * max(self.counts(self.cells)) - 1

    def clamped(self, cells: int) -> Tensor:
        """The row of every query and key from the distance of their centres, (queries, keys)."""
        finer = min(self.query, self.key)
        queries, keys = self.query // finer, self.key // finer
        most_queries, most_keys = self.counts(self.cells)
        here_queries, here_keys = self.counts(cells)
        distance = queries * torch.arange(here_queries)[:, None] - keys * torch.arange(here_keys)
        zero = keys * (most_keys - 1)
        return distance.clamp(-zero, queries * (most_queries - 1)) + zero

    def stretched(self, cells: int) -> Tensor:
        """The same for a table of 2 * max(queries, keys) - 1 rows, from the ratio of the grids, (queries, keys)."""
        queries, keys = self.counts(cells)
        before, behind = torch.arange(queries)[:, None], keys - 1 - torch.arange(keys)
        if keys > queries:
            return before * keys // queries + behind
        return before + behind * queries // keys


@functools.lru_cache(maxsize=256)
def _index(axis: Axis, cells: int, positions: Positions, device: torch.device) -> Tensor:
    table = axis.clamped(cells) if positions == "clamp" else axis.stretched(cells)
    return table.to(device)


class RelativePositions(nn.Module):
    """The tables of one attention, shared by its heads."""

    def __init__(self, width: int, frequency: Axis, time: Axis, positions: Positions = "clamp") -> None:
        super().__init__()
        self.axes = frequency, time
        self.positions = positions
        self.frequency = nn.Parameter(torch.zeros(frequency.rows, width))
        self.time = nn.Parameter(torch.zeros(time.rows, width))

    def forward(self, q: Tensor, grid: Size) -> Tensor:
        """Pooled queries (batch, heads, queries, width) of a grid -> additions to the logits, (..., queries, keys)."""
        frequency, time = (
            self._vectors(table, axis, cells)
            for table, axis, cells in zip((self.frequency, self.time), self.axes, grid, strict=True)
        )
        q = q.unflatten(2, (len(frequency), len(time)))
        rows = torch.einsum("bhftd,fgd->bhftg", q, frequency.to(q.dtype))
        columns = torch.einsum("bhftd,tsd->bhfts", q, time.to(q.dtype))
        return (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)

    def _vectors(self, table: Tensor, axis: Axis, cells: int) -> Tensor:
        """The vector of every query and key, (queries, keys, width)."""
        if self.positions == "stretch":
            table = resize(table, 2 * max(axis.counts(cells)) - 1)
        return table[_index(axis, cells, self.positions, table.device)]


def resize(table: Tensor, rows: int) -> Tensor:
    """A table (rows, width) stretched or shrunk to other rows, linearly."""
    if len(table) == rows:
        return table
    return F.interpolate(table.T[None], size=rows, mode="linear")[0].T
