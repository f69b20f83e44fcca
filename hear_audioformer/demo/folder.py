"""A folder of recordings that was embedded: its search, its columns, its map."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..model import Model
from ..projection import Projection, project
from ..search import Hit, Index

COLUMNS = ("folder", "cluster", "seconds")  # that every table has, or can get
KEYS = {"path", "offset"}  # of a CSV


@dataclass(frozen=True)
class Heard:
    """A sound as a folder's model hears it.

    Attributes:
        path: of the file.
        vector: (1, dim).
        seconds: its length.
    """

    path: str
    vector: np.ndarray
    seconds: float


class Folder:
    """A result of ``embed`` with what the page asks of it.

    Args:
        table: its path.
        model: where its weights are now, if not where it says.
        device: of torch.
        values: a CSV with a column path, whose other columns colour the map.

    Attributes:
        columns: names that the map can be coloured by.
    """

    def __init__(self, table: str | Path, *, model: str = "", device: str | None = None, values: str = "") -> None:
        self.index = Index(table, model=model, device=device)
        self.table = self.index.table
        self.values_file = values
        self.columns = [*COLUMNS, *(name for name in _header(values) if name not in {*KEYS, *COLUMNS})]
        self._projections: dict[str, Projection] = {}

    @property
    def name(self) -> str:
        """The model's name."""
        return Path(str(self.table.facts["model"])).stem

    @property
    def title(self) -> str:
        """What the table holds and which weights made it."""
        return f"{len(self.table):,} {self.table.kind} by {self.name} ({self.table.facts['sha256'][:12]})"

    @property
    def model(self) -> Model:
        """The model that made the table."""
        return self.index.same_model.model

    def hear(self, path: str | Path) -> Heard:
        """A sound's vector by the model that made the table."""
        vectors, seconds = self.index.queries([path])
        return Heard(str(path), vectors, seconds[0])

    def nearest(self, heard: Heard, k: int) -> list[Hit]:
        """The rows most like a sound."""
        return self.index.search_vectors(heard.vector, k, [heard.seconds])[0]

    def projection(self, method: str) -> Projection:
        """The table in two dimensions; computed once for each method."""
        if method not in self._projections:
            self._projections[method] = project(self.table, method)
        return self._projections[method]

    def values(self, column: str, rows: Sequence[int] | np.ndarray) -> list[str]:
        """The value of a column for each row."""
        from ..plot.map import values_of

        if column not in self.columns:
            raise InputError(f"{column} is no column: choose one of {', '.join(self.columns)}")
        if column == "cluster":
            return [str(self._clusters[row]) for row in rows]
        return values_of(self.table.places(rows), column, "" if column in COLUMNS else self.values_file)

    @cached_property
    def _clusters(self) -> Any:
        """The number of each row's cluster: (rows,)."""
        from ..cluster import cluster_table

        return cluster_table(self.table).owners


def _header(file: str) -> list[str]:
    """The names of a CSV's columns."""
    if not file:
        return []
    if not Path(file).is_file():
        raise InputError(f"{file}: no such file")
    with open(file, newline="", encoding="utf-8-sig") as lines:
        names = next(csv.reader(lines), [])
    if "path" not in names:
        raise InputError(f"{file} has no column path; it has {', '.join(names) or 'none'}")
    return names
