"""The columns of a result in one ``.npz`` or Zarr: of its rows, and of its files where these are fewer.

paths        of the files, in order; file i owns the rows offsets[i] to offsets[i + 1], of scenes row i
embeddings   (rows, dim)
timestamps   the frames' centres in ms, of timestamps          starts    of segments, in seconds
seconds      of a scene or segment                             offsets   (files + 1,), not of scenes
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np

from .rows import Rows

Read = Callable[[], Iterator[Rows]]
SOME = 10_000  # files that are handled at a time


@dataclass(frozen=True)
class Column:
    """An array in pieces along its first axis; only one piece is in memory at a time."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Iterable[np.ndarray]


def row_columns(read: Read, rows: int, facts: dict[str, Any]) -> list[Column]:
    """The columns with an entry for each row."""
    value = "<f2" if facts["dtype"] == "float16" else "<f4"
    columns = [Column("embeddings", value, (rows, facts["dim"]), (some.embedding for some in read()))]
    if facts["kind"] == "timestamps":
        return [Column("timestamps", "<f4", (rows,), (1000 * some.offset for some in read())), *columns]
    if facts["kind"] == "segments":
        columns.append(Column("starts", "<f8", (rows,), (some.offset for some in read())))
    return [Column("seconds", "<f8", (rows,), (some.seconds for some in read())), *columns]


def file_columns(read: Read, facts: dict[str, Any]) -> list[Column]:
    """The columns with an entry for each file."""
    files, length = 0, 1
    for name, _ in _files(read()):
        files, length = files + 1, max(length, len(name))
    columns = [Column("paths", f"<U{length}", (files,), map(np.array, _some(name for name, _ in _files(read()))))]
    if facts["kind"] != "scenes":
        columns.append(Column("offsets", "<i8", (files + 1,), map(np.array, _some(_offsets(read)))))
    return columns


def _files(rows: Iterable[Rows]) -> Iterator[tuple[str, int]]:
    """Each file's path and number of rows, in order. Row groups may end inside of a file."""
    for path, group in groupby(path for some in rows for path in some.path):
        yield path, sum(1 for _ in group)


def _offsets(read: Read) -> Iterator[int]:
    """The first row of each file, then the number of rows."""
    total = 0
    yield total
    for _, count in _files(read()):
        total += count
        yield total


def _some(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values in lists."""
    upcoming = iter(values)
    while some := list(islice(upcoming, SOME)):
        yield some
