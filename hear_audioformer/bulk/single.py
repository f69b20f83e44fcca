"""Parts -> one file. Everything passes through in row groups, so memory does not grow with the table."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..files import atomic_write
from .columns import Read, file_columns, row_columns
from .output import Output
from .parts import footer_of, parts, rows_of, schema, table_of
from .rows import Rows


def join(output: Output, facts: dict[str, Any]) -> None:
    """Makes the single file that ``output`` is to be; it appears when it is complete."""
    pieces = parts(output.folder)
    rows = sum(footer_of(piece).rows for piece in pieces)

    def read() -> Iterator[Rows]:
        for piece in pieces:
            yield from rows_of(piece)

    if output.single == ".zarr":
        from .zarr import write_zarr

        write_zarr(output, read, rows, facts)
        return
    with atomic_write(output.out, durable=True) as temporary:
        if output.single == ".npz":
            _write_npz(temporary, read, rows, facts)
        else:
            _write_parquet(temporary, read, facts)


def _write_parquet(path: Path, read: Read, facts: dict[str, Any]) -> None:
    from pyarrow import parquet

    columns = schema(facts["dim"], facts["dtype"], facts)
    with parquet.ParquetWriter(path, columns, compression="zstd") as writer:
        for rows in read():
            writer.write_table(table_of(rows, columns))


def _write_npz(path: Path, read: Read, rows: int, facts: dict[str, Any]) -> None:
    """The columns, and the facts as JSON in ``info``."""
    info = np.array(json.dumps(facts))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        _add(file, "info", info.dtype.str, (), [info])
        for column in [*file_columns(read, facts), *row_columns(read, rows, facts)]:
            _add(file, column.name, column.dtype, column.shape, column.pieces)


def _add(file: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int, ...], pieces: Iterable[np.ndarray]) -> None:
    """An array of the .npz from pieces, which follow each other along its first axis."""
    with file.open(f"{name}.npy", "w", force_zip64=True) as member:
        header = {"descr": dtype, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(member, header)
        for piece in pieces:
            member.write(np.ascontiguousarray(piece, dtype).tobytes())
