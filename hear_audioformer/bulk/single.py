"""Parts -> one file. Everything passes through in row groups, so memory does not grow with the table."""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..files import atomic_write
from .output import Output
from .parts import footer_of, parts, rows_of, schema, table_of
from .rows import Rows

Read = Callable[[], Iterator[Rows]]


def join(output: Output, facts: dict[str, Any]) -> None:
    """Makes the single file that ``output`` is to be; it appears when it is complete."""
    pieces = parts(output.folder)
    count = sum(footer_of(piece).rows for piece in pieces)

    def read() -> Iterator[Rows]:
        for piece in pieces:
            yield from rows_of(piece)

    if output.single == ".zarr":
        from .zarr import write_zarr

        write_zarr(output, read, count, facts)
        return
    with atomic_write(output.out, durable=True) as temporary:
        if output.single == ".npz":
            _write_npz(temporary, read, count, facts)
        else:
            _write_parquet(temporary, read, facts)


def _write_parquet(path: Path, read: Read, facts: dict[str, Any]) -> None:
    from pyarrow import parquet

    columns = schema(facts["dim"], facts["dtype"], facts)
    with parquet.ParquetWriter(path, columns, compression="zstd") as writer:
        for rows in read():
            writer.write_table(table_of(rows, columns))


def _write_npz(path: Path, read: Read, count: int, facts: dict[str, Any]) -> None:
    """``embeddings`` of all rows, ``info``, and what says whose they are."""
    scenes = facts["kind"] == "scenes"
    files, length = 0, 1
    for name, _ in _files(read()):
        files, length = files + 1, max(length, len(name))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        _add(file, "info", (), f"<U{len(json.dumps(facts))}", [np.array(json.dumps(facts))])
        _add(file, "paths", (files,), f"<U{length}", (np.array(name) for name, _ in _files(read())))
        if not scenes:
            _add(file, "offsets", (files + 1,), "<i8", _offsets(read))
        if facts["kind"] == "timestamps":
            _add(file, "timestamps", (count,), "<f4", (1000 * rows.offset for rows in read()))
        else:
            _add(file, "seconds", (count,), "<f8", (rows.seconds for rows in read()))
        if facts["kind"] == "segments":
            _add(file, "starts", (count,), "<f8", (rows.offset for rows in read()))
        kind = "<f2" if facts["dtype"] == "float16" else "<f4"
        _add(file, "embeddings", (count, facts["dim"]), kind, (rows.embedding for rows in read()))


def _files(rows: Iterable[Rows]) -> Iterator[tuple[str, int]]:
    """Each file's path and number of rows, in order. Row groups may end inside of a file."""
    for path, group in groupby(path for some in rows for path in some.path):
        yield path, sum(1 for _ in group)


def _offsets(read: Read) -> Iterator[np.ndarray]:
    """The first row of each file, then the number of rows."""
    total = 0
    yield np.array(0)
    for _, count in _files(read()):
        total += count
        yield np.array(total)


def _add(file: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: str, arrays: Iterable[np.ndarray]) -> None:
    """An array of the .npz from pieces, which follow each other along its first axis."""
    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(member, header)
        for array in arrays:
            member.write(np.ascontiguousarray(array, dtype).tobytes())
