"""Decomposed relative positions: attention adds a term for the distance along frequency and one along time.

As in MViTv2 (Li et al., CVPR 2022, arXiv 2112.01526, section 4.1). A table has a row for each distance between a query
and a key, in steps of the finer of their two grids (rounded down where neither stride divides the other), so that it
serves grids of any length. Distances beyond training are handled in one of two ways. "clamp" uses the row of the
largest trained distance, and a row keeps its distance. "stretch" is MViTv2's formula, which resizes the table by the
ratio of the grids, as vision models do for other image sizes. For trained grids that both strides divide, the two are
equal.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..tables import table

Size = tuple[int, int]  # (frequency, time)
Positions = Literal["clamp", "stretch"]


@dataclass(frozen=True)
class Axis:
    """One axis of a pooled attention.

    Attributes:
        cells: of the input grid in training.
        query, key: strides at which queries and keys are pooled from it.
    """

    cells: int
    query: int
    key: int

    def counts(self, cells: int) -> Size:
        """Numbers of queries and keys of ``cells`` cells."""
        return (cells - 1) // self.query + 1, (cells - 1) // self.key + 1

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return 2 * max(self.counts(self.cells)) - 1

    @table(lambda self, cells: self.counts(cells))
    def clamped(self, cells: int) -> Tensor:
        """The row of every query and key from the distance of their centres, (queries, keys)."""
        most_queries, most_keys = self.counts(self.cells)
        queries, keys = self.counts(cells)
        distance = self.query * torch.arange(queries)[:, None] - self.key * torch.arange(keys)  # in cells
        zero = self.key * (most_keys - 1)
        return (distance.clamp(-zero, self.query * (most_queries - 1)) + zero) // min(self.query, self.key)

    def stretched(self, cells: int) -> Tensor:
        """The row of every query and key by MViTv2's formula, of 2 * max(queries, keys) - 1 rows, (queries, keys)."""
        queries, keys = self.counts(cells)
        before, behind = torch.arange(queries)[:, None], keys - 1 - torch.arange(keys)
        if keys > queries:
            return before * keys // queries + behind
        return before + behind * queries // keys


class RelativePositions(nn.Module):
    """The tables of one attention, shared by its heads."""

    undecayed = ("frequency", "time")
    frequency_rows: Tensor
    time_rows: Tensor

    def __init__(self, width: int, axes: tuple[Axis, Axis], positions: Positions = "clamp") -> None:
        super().__init__()
        self.axes = axes
        self.positions = positions
        self.frequency, self.time = (nn.Parameter(torch.zeros(axis.rows, width)) for axis in axes)
        for name, axis in zip(("frequency_rows", "time_rows"), axes, strict=True):
            self.register_buffer(name, axis.clamped(axis.cells), persistent=False)

    def forward(self, q: Tensor, grid: Size) -> Tensor:
        """Pooled queries (batch, heads, queries, width) of a grid -> additions to the logits, (..., queries, keys)."""
        frequency = self._vectors(self.frequency, self.frequency_rows, self.axes[0], grid[0])
        time = self._vectors(self.time, self.time_rows, self.axes[1], grid[1])
        q = q.unflatten(2, (frequency.shape[0], time.shape[0]))
        rows = torch.einsum("bhftd,fgd->bhftg", q, frequency.to(q.dtype))
        columns = torch.einsum("bhftd,tsd->bhfts", q, time.to(q.dtype))
        return (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)

    def _vectors(self, table: Tensor, rows: Tensor, axis: Axis, cells: int) -> Tensor:
        """The vector of every query and key, (queries, keys, width), given the rows at the trained length."""
        queries, keys = axis.counts(cells)
        if self.positions == "stretch":
            return resize(table, 2 * max(queries, keys) - 1)[axis.stretched(cells).to(table.device)]
        if cells <= axis.cells:
            return table[rows[:queries, :keys]]
        return table[axis.clamped(cells).to(table.device)]


def resize(table: Tensor, rows: int) -> Tensor:
    """A table (rows, width) interpolated linearly to another number of rows."""
    if len(table) == rows:
        return table
    return F.interpolate(table.T[None], size=rows, mode="linear")[0].T
