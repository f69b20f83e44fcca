"""Compares a query with all rows of a table. Where they fit, they stay in memory, standardised and of length one."""

from collections.abc import Iterator

import numpy as np

from .standard import Standard
from .table import BATCH, Table

KEPT = 1 << 30  # bytes of vectors that stay in memory; those of larger tables are read again for each search


class Exact:
    """Searches all rows of a table.

    Attributes:
        standard: of the table.
        note: what the user should know; empty.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.note = ""
        self._units: np.ndarray | None = None
        if 4 * len(table) * table.dim > KEPT:
            self.standard = Standard.of(table.batches())
            return
        kept = table.vectors()  # read once, though the standard must be known before any row is compared
        self.standard = Standard.of([kept])
        self._units = self.standard.unit(kept, out=kept)

    def nearest(self, units: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows of the most similar rows, best first: (queries, k)."""
        scores = np.zeros((len(units), 0), np.float32)
        rows = np.zeros((len(units), 0), np.int64)
        first = 0
        for batch in self._batches():
            found = units @ batch.T
            columns = _largest(found, k)
            scores = np.concatenate([scores, np.take_along_axis(found, columns, 1)], 1)
            rows = np.concatenate([rows, first + columns], 1)
            order = np.lexsort((rows, -scores), axis=1)[:, :k]  # of equals the first row first
            scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
            first += len(batch)
        return scores, rows

    def _batches(self) -> Iterator[np.ndarray]:
        """All rows, standardised and of length one."""
        if self._units is None:
            yield from map(self.standard.unit, self.table.batches())
            return
        for start in range(0, len(self._units), BATCH):
            yield self._units[start : start + BATCH]


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """The columns of the ``k`` largest values of each row, in any order."""
    if scores.shape[1] <= k:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, -k, axis=1)[:, -k:]
