"""A result of ``embed`` as a table that is read: its facts, its places, its vectors. It needs no torch.

>>> table = hear_audioformer.open_table("vectors/")
>>> len(table), table.dim, table.facts["model"]
>>> table.vectors()        # (rows, dim), float32
>>> table.paths[0], table.offsets[0], table.seconds[0]
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .bulk.parts import parts
from .bulk.removed import refuse_removed
from .errors import StoreError
from .table_files import Columns, NpzStore, ParquetStore, Store, ZarrStore

BATCH = 1 << 14  # rows
FACTS = ("model", "source", "sha256", "kind", "dim", "precision")


@dataclass(frozen=True)
class Place:
    """The stretch of sound that a row is of.

    Attributes:
        path: of the recording, as ``embed`` was given it.
        offset: where the stretch begins, in seconds; of timestamps the centre of the frame.
        seconds: how long it is; of timestamps the step between frames.
    """

    path: str
    offset: float
    seconds: float


class Table:
    """A result of ``embed``. ``open_table`` opens one.

    Attributes:
        path: where it is.
        facts: what made it: model, source, sha256 of the weights, kind, pool, layers, precision, dim, dtype ...
        files: the files that hold its rows.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self.store = store
        self.facts: dict[str, Any] = store.facts
        self.files = store.files
        if missing := [name for name in FACTS if name not in self.facts]:
            raise StoreError(f"{path} does not say its {', '.join(missing)}: embed the recordings again")

    def __len__(self) -> int:
        return self.store.rows

    @property
    def kind(self) -> str:
        """What a row is of: scenes, segments or timestamps."""
        return str(self.facts["kind"])

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.facts["dim"])

    @cached_property
    def _columns(self) -> Columns:
        return self.store.places()

    @property
    def paths(self) -> list[str]:
        """The recording of each row."""
        return list(self._columns["path"])

    @property
    def offsets(self) -> np.ndarray:
        """Where each row's stretch begins, in seconds: (rows,)."""
        return np.asarray(self._columns["offset"])

    @property
    def seconds(self) -> np.ndarray:
        """How long it is: (rows,)."""
        return np.asarray(self._columns["seconds"])

    def batches(self, rows: int = BATCH) -> Iterator[np.ndarray]:
        """The vectors in order, (at most ``rows``, dim), float32; only one batch is in memory."""
        first = 0
        for stored in self.store.vectors(rows):
            batch = stored.astype(np.float32, copy=False)
            finite = np.isfinite(batch)  # four times faster than on half precision
            if not finite.all():
                row = first + int(finite.all(1).argmin())
                raise StoreError(f"{self.path} holds NaN or infinite values, first in row {row}, of "
                                 f"{self.places([row])[0].path}: embed the recordings again")  # fmt: skip
            first += len(batch)
            yield batch

    def vectors(self) -> np.ndarray:
        """All vectors: (rows, dim), float32."""
        matrix, first = np.empty((len(self), self.dim), np.float32), 0
        for batch in self.batches():
            matrix[first : first + len(batch)] = batch
            first += len(batch)
        return matrix

    def take(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The vectors of some rows, in the order asked for: (rows, dim), float32."""
        wanted, back = self._sorted(rows)
        return self.store.take(wanted)[back].astype(np.float32, copy=False)

    def places(self, rows: Sequence[int] | np.ndarray) -> list[Place]:
        """What some rows are of, in the order asked for; only these are read."""
        wanted, back = self._sorted(rows)
        found = self.store.places(wanted)
        columns = found["path"], map(float, found["offset"]), map(float, found["seconds"])
        places = [Place(*one) for one in zip(*columns, strict=True)]
        return [places[position] for position in back]

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Numbers of at most ``count`` rows, drawn at random, in order."""
        if len(self) <= count:
            return np.arange(len(self))
        return np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))

    def _sorted(self, rows: Sequence[int] | np.ndarray) -> tuple[Any, np.ndarray]:
        """The different rows in order, and the position of each row asked for among them."""
        asked = np.asarray(rows, np.int64).reshape(-1)
        if len(asked) and not (asked.min() >= 0 and asked.max() < len(self)):
            raise ValueError(f"row {asked.min() if asked.min() < 0 else asked.max()}: "
                             f"{self.path} has rows 0 to {len(self) - 1}")  # fmt: skip
        return np.unique(asked, return_inverse=True)


def open_table(path: str | Path) -> Table:
    """Opens a result of ``embed``: a folder of parts, or one file NAME.parquet, NAME.npz or NAME.zarr."""
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.exists():
        raise StoreError(f"{path}: no such table; `hear-audioformer embed RECORDINGS -o {path}` makes one")
    if suffix == ".npz" and path.is_file():
        return _with_rows(Table(path, NpzStore(path)))
    if suffix == ".zarr" and path.is_dir():
        _require("zarr", "zarr", path)
        return _with_rows(Table(path, ZarrStore(path)))
    if path.is_dir():
        files = [part for part in parts(path) if part.suffix == ".parquet"]
        if not files:
            raise StoreError(
                f"{path} holds no parts of a table; `hear-audioformer embed RECORDINGS -o {path}` makes some"
            )
        refuse_removed(path, files)
    elif suffix == ".parquet":
        files = [path]
    else:
        raise StoreError(f"{path} is no table: give a folder of parts, or NAME.parquet, NAME.npz or NAME.zarr of embed")
    _require("pyarrow", "parquet", path)
    return _with_rows(Table(path, ParquetStore(files)))


def opened(table: "str | os.PathLike[str] | Table") -> Table:
    """A table, or the table of a path."""
    return table if isinstance(table, Table) else open_table(Path(table))


def _with_rows(table: Table) -> Table:
    if not len(table):
        raise StoreError(f"{table.path} has no rows; see the table of errors that embed wrote")
    return table


def _require(module: str, extra: str, path: Path) -> None:
    if find_spec(module) is None:
        raise StoreError(f"{path} needs {module}: pip install 'hear_audioformer[{extra}]'")
