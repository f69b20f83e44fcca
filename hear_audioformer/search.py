"""Search by recording: the rows of a table that sound like a query, by cosine similarity of standardised vectors.

>>> index = hear_audioformer.Index("vectors/")
>>> for hit in index.search("query.flac", k=10):
...     print(hit.score, hit.path, hit.offset)

A search among few rows compares them all. Beyond ``LARGE`` rows FAISS searches an index that is built once. Only a
query that is a recording needs torch, and the model that made the table.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import AudioError, StoreError
from .exact import Exact
from .table import Table, opened

if TYPE_CHECKING:
    from .approximate import Approximate
    from .same_model import SameModel

LARGE = 100_000  # rows, beyond which a search is approximate
MOST = 10_000  # neighbours that are fetched to find distinct stretches among them


@dataclass(frozen=True)
class Hit:
    """A row that is like a query.

    Attributes:
        rank: from 1 on.
        score: cosine similarity of the standardised vectors, at most 1.
        row: its number in the table.
        path, offset, seconds: what it is of, as in ``Place``.
    """

    rank: int
    score: float
    row: int
    path: str
    offset: float
    seconds: float


class Index:
    """Searches a table.

    Args:
        table: a result of ``embed``, or its path.
        approximate: whether FAISS searches; by default beyond ``LARGE`` rows where it is installed.
        model: where the weights of the table are now, if not where it says; they must be the same weights.
        device: of torch, for queries that are recordings.

    Attributes:
        note: what the user should know about how this index searches; often empty.
    """

    def __init__(
        self,
        table: "str | os.PathLike[str] | Table",
        *,
        approximate: bool | None = None,
        model: str | Path = "",
        device: str | None = None,
    ) -> None:
        self.table = opened(table)
        self.note = ""
        self._where: dict[str, Any] = {"model": model, "device": device}
        self._model: SameModel | None = None
        self._rows: Exact | Approximate = _faiss_of(self.table) if self._wants_faiss(approximate) else Exact(self.table)
        self.standard = self._rows.standard
        self.note = self._rows.note or self.note
        if self.standard.plain:
            self.note = f"{len(self.table)} rows are too few to standardise by: plain cosine similarity"

    def _wants_faiss(self, approximate: bool | None) -> bool:
        there = find_spec("faiss") is not None
        if approximate and not there:
            raise StoreError(
                "approximate search needs FAISS: pip install 'hear_audioformer[search]', or search exactly"
            )
        if approximate is None and len(self.table) > LARGE and not there:
            self.note = "all rows are compared; pip install 'hear_audioformer[search]' makes large tables faster"
        return there and (len(self.table) > LARGE if approximate is None else approximate)

    @property
    def exact(self) -> bool:
        """Whether all rows are compared."""
        return isinstance(self._rows, Exact)

    @property
    def same_model(self) -> "SameModel":
        """The model that made the table; loaded when it is first asked for."""
        if self._model is None:
            from .same_model import SameModel

            self._model = SameModel(self.table.facts, **self._where)
        return self._model

    def search(self, query: str | Path, k: int = 10) -> list[Hit]:
        """The ``k`` rows most like a recording. Of timestamps, stretches as long as the query that do not overlap."""
        vectors, seconds = self.queries([query])
        return self.search_vectors(vectors, k, seconds)[0]

    def queries(self, paths: Sequence[str | Path]) -> tuple[np.ndarray, list[float]]:
        """A vector for each recording, (recordings, dim), by the table's model, and how long each is, in seconds."""
        found = list(self.same_model(paths, whole=True))
        for one in found:
            if one.error is not None:
                raise AudioError(f"{one.path}: {one.error}")
        return np.concatenate([one.vectors for one in found]), [float(one.seconds.sum()) for one in found]

    def search_rows(self, rows: Sequence[int], k: int = 10) -> list[list[Hit]]:
        """For each row of the table the ``k`` others most like it. This needs no model."""
        found = self.search_vectors(self.table.take(rows), k + 1)
        return [_without(row, hits)[:k] for row, hits in zip(rows, found, strict=True)]

    def search_vectors(
        self, vectors: np.ndarray, k: int = 10, seconds: Sequence[float] | None = None
    ) -> list[list[Hit]]:
        """For each vector (queries, dim) of the table's model the ``k`` rows most like it.

        Args:
            seconds: of timestamps, how far apart hits of one recording are at least, for each query.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.table.dim:
            raise ValueError(f"vectors of shape {vectors.shape}: the table needs (queries, {self.table.dim})")
        if k < 1:
            raise ValueError(f"k={k}: ask for one row at least")
        if self.table.kind != "timestamps" or seconds is None:
            return [self._hits(*found) for found in zip(*self.nearest(vectors, k), strict=True)]
        return [self._apart(one, k, least) for one, least in zip(vectors, seconds, strict=True)]

    def nearest(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and numbers of the most similar rows, best first: (queries, k), or fewer for want of rows."""
        units = self.standard.unit(np.asarray(vectors, np.float32))
        return self._rows.nearest(units, min(k, len(self.table)))

    def _hits(self, scores: np.ndarray, rows: np.ndarray) -> list[Hit]:
        found = [(score, row) for score, row in zip(scores.tolist(), rows.tolist(), strict=True) if row >= 0]
        places = self.table.places([row for _, row in found])
        return [
            Hit(rank, score, row, place.path, place.offset, place.seconds)
            for rank, ((score, row), place) in enumerate(zip(found, places, strict=True), 1)
        ]

    def _apart(self, vector: np.ndarray, k: int, least: float) -> list[Hit]:
        """The best frames of which no two of one recording are nearer than ``least`` seconds."""
        step = float(self.table.facts["hop_ms"]) / 1000
        wanted = k * (1 + round(2 * least / step))
        while True:
            hits: list[Hit] = []
            scores, rows = self.nearest(vector[None], min(wanted, MOST))
            for hit in self._hits(scores[0], rows[0]):
                if all(hit.path != other.path or abs(hit.offset - other.offset) >= least for other in hits):
                    hits.append(hit)
            if len(hits) >= k or wanted >= min(MOST, len(self.table)):
                return _ranked(hits[:k])
            wanted *= 4


def _faiss_of(table: Table) -> "Approximate":
    from .approximate import Approximate

    return Approximate(table)


def _without(row: int, hits: list[Hit]) -> list[Hit]:
    """The hits but the row itself."""
    return _ranked([hit for hit in hits if hit.row != row])


def _ranked(hits: list[Hit]) -> list[Hit]:
    return [Hit(rank, *list(vars(hit).values())[1:]) for rank, hit in enumerate(hits, 1)]
