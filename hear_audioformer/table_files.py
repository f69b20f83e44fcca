"""The files of a result of ``embed``, read in bounded memory: Parquet, ``.npz``, Zarr."""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .bulk.parts import KEY
from .errors import StoreError

PLACES = ("path", "offset", "seconds")
KEPT = 64  # row groups whose places stay in memory: to read one takes longer than to search a million rows
Columns = dict[str, Any]  # path: list of str; offset, seconds: (rows,)


class Store(Protocol):
    """What holds the rows of a table."""

    facts: dict[str, Any]
    rows: int
    files: list[Path]

    def vectors(self, rows: int) -> Iterator[np.ndarray]:
        """The embeddings in order, (at most ``rows``, dim), as they are stored."""

    def places(self, wanted: Sequence[int] | None = None) -> Columns:
        """Path, offset and seconds of all rows, or of the wanted ones, which are sorted."""

    def take(self, wanted: Sequence[int]) -> np.ndarray:
        """The embeddings of the wanted rows, which are sorted."""


class ParquetStore:
    """Parquet files, one after the other. All must be of one model with the same options."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.facts: dict[str, Any] = {}
        self.groups: list[tuple[Path, int]] = []  # each row group's file, and its number there
        self._kept: dict[int, Any] = {}
        counts: list[int] = []
        for path in files:
            facts, inside = self._header(path)
            self.facts = self.facts or facts
            if differing := [name for name in sorted({**facts, **self.facts}) if _differs(name, facts, self.facts)]:
                raise StoreError(
                    f"{path} holds vectors of another model or other options than {files[0].name} "
                    f"({', '.join(differing)}): keep the parts of each run in a folder of their own"
                )
            self.groups += [(path, number) for number in range(len(inside))]
            counts += inside
        self.rows = sum(counts)
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def _header(self, path: Path) -> tuple[dict[str, Any], list[int]]:
        """The facts of a file and the rows of each row group."""
        from pyarrow import ArrowInvalid, parquet

        try:
            with parquet.ParquetFile(path) as file:
                text = (file.metadata.metadata or {}).get(KEY.encode())
                names = file.schema_arrow.names
                counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        except (ArrowInvalid, OSError) as error:
            raise StoreError(f"{path} is no whole Parquet file ({error}): embed the recordings again") from error
        if text is None or not {*PLACES, "embedding"} <= set(names):
            raise StoreError(f"{path} {NO_RESULT}")
        return json.loads(text), counts

    def vectors(self, rows: int) -> Iterator[np.ndarray]:
        from pyarrow import parquet

        for path in self.files:
            with _still_there(path), parquet.ParquetFile(path, memory_map=True) as file:
                for batch in file.iter_batches(rows, columns=["embedding"]):
                    yield _matrix(batch.column(0))

    def places(self, wanted: Sequence[int] | None = None) -> Columns:
        found: Columns = {name: [] for name in PLACES}
        for table in self._whole_files() if wanted is None else self._chosen(self._places_of, wanted):
            found["path"] += table["path"].to_pylist()
            for name in PLACES[1:]:
                found[name].append(table[name].to_numpy())
        joined = {name: np.concatenate(found[name]) if found[name] else np.zeros(0) for name in PLACES[1:]}
        return {"path": found["path"], **joined}

    def take(self, wanted: Sequence[int]) -> np.ndarray:
        chosen = self._chosen(lambda group: self._read(group, ["embedding"]), wanted)
        parts = [_matrix(table["embedding"].combine_chunks()) for table in chosen]
        return np.concatenate(parts) if parts else np.zeros((0, self.facts["dim"]), np.float32)

    def _whole_files(self) -> Iterator[Any]:
        """The places of all rows, as an Arrow table a file."""
        from pyarrow import parquet

        for path in self.files:
            with _still_there(path):
                yield parquet.read_table(path, columns=list(PLACES), partitioning=None)

    def _chosen(self, read: Callable[[int], Any], wanted: Sequence[int]) -> Iterator[Any]:
        """The wanted rows as Arrow tables; row groups without one are not read."""
        rows = np.asarray(wanted, np.int64)
        groups = np.searchsorted(self.starts, rows, side="right") - 1
        for group in np.unique(groups).tolist():
            yield read(group).take(rows[groups == group] - self.starts[group])

    def _places_of(self, group: int) -> Any:
        if group not in self._kept:
            for oldest in list(self._kept)[: len(self._kept) - KEPT + 1]:
                self._kept.pop(oldest, None)  # another thread may have been here
            self._kept[group] = self._read(group, list(PLACES))
        return self._kept[group]

    def _read(self, group: int, columns: list[str]) -> Any:
        from pyarrow import parquet

        path, number = self.groups[group]
        with _still_there(path), parquet.ParquetFile(path, memory_map=True) as file:
            return file.read_row_group(number, columns=columns)


class NpzStore:
    """The columns of one ``.npz``, which ``bulk.columns`` describes."""

    def __init__(self, path: Path) -> None:
        self.files = [path]
        try:
            with np.load(path, allow_pickle=False) as file:
                if not {"info", "paths", "embeddings"} <= set(file.files):
                    raise StoreError(f"{path} {NO_RESULT}")
                self.facts = json.loads(str(file["info"]))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise StoreError(f"{path} is no whole .npz file ({error}): embed the recordings again") from error
        if not isinstance(self.facts, dict) or not {"kind", "dim", "sha256"} <= self.facts.keys():
            raise StoreError(f"{path} {NO_RESULT}")
        with zipfile.ZipFile(path) as archive, archive.open("embeddings.npy") as member:
            self.rows = int(_npy_header(member)[0][0])

    def column(self, name: str) -> np.ndarray:
        """A whole column."""
        with np.load(self.files[0], allow_pickle=False) as file:
            return file[name]

    def vectors(self, rows: int) -> Iterator[np.ndarray]:
        with zipfile.ZipFile(self.files[0]) as archive, archive.open("embeddings.npy") as member:
            shape, dtype = _npy_header(member)
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                content = member.read(count * shape[1] * dtype.itemsize)
                yield np.frombuffer(content, dtype).reshape(count, shape[1])

    def places(self, wanted: Sequence[int] | None = None) -> Columns:
        rows = np.arange(self.rows) if wanted is None else np.asarray(wanted, np.int64)
        paths = self.column("paths")
        kind = self.facts["kind"]
        if kind == "scenes":
            return {
                "path": paths[rows].tolist(),
                "offset": np.zeros(len(rows)),
                "seconds": self.column("seconds")[rows],
            }
        files = np.searchsorted(self.column("offsets"), rows, side="right") - 1
        if kind == "segments":
            return _places(paths[files], self.column("starts")[rows], self.column("seconds")[rows])
        step = np.full(len(rows), self.facts["hop_ms"] / 1000)
        return _places(paths[files], self.column("timestamps")[rows].astype(np.float64) / 1000, step)

    def take(self, wanted: Sequence[int]) -> np.ndarray:
        rows, first, parts = np.asarray(wanted, np.int64), 0, []
        for block in self.vectors(1 << 14):
            parts.append(block[rows[(rows >= first) & (rows < first + len(block))] - first])
            first += len(block)
        return np.concatenate(parts) if parts else np.zeros((0, self.facts["dim"]), np.float32)


class ZarrStore(NpzStore):
    """The columns of a Zarr group."""

    def __init__(self, path: Path) -> None:
        import zarr

        self.files = [path]
        self.group: Any = zarr.open_group(str(path), mode="r")
        self.facts = dict(self.group.attrs)
        if not {"kind", "dim", "sha256"} <= self.facts.keys() or "embeddings" not in self.group:
            raise StoreError(f"{path} {NO_RESULT}")
        embeddings: Any = self.group["embeddings"]
        self.rows = int(embeddings.shape[0])

    def column(self, name: str) -> np.ndarray:
        return np.asarray(self.group[name][:])

    def vectors(self, rows: int) -> Iterator[np.ndarray]:
        embeddings: Any = self.group["embeddings"]
        for start in range(0, self.rows, rows):
            yield np.asarray(embeddings[start : start + rows])


NO_RESULT = "is no result of `hear-audioformer embed`: it does not say which model made its vectors; make it with embed"


def _differs(name: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two parts cannot be of one table; where the weights were found, and the version, may change."""
    return name not in {"source", "version"} and one.get(name) != other.get(name)


def _matrix(column: Any) -> np.ndarray:
    """An Arrow column of lists of fixed size as (rows, dim)."""
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1)


@contextmanager
def _still_there(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be read since the table was opened ({error}): open it again") from error


def _places(paths: np.ndarray, offset: np.ndarray, seconds: np.ndarray) -> Columns:
    return {"path": paths.tolist(), "offset": offset, "seconds": seconds}


def _npy_header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, whose bytes follow."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    return shape, dtype
