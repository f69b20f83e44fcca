"""A result as one Zarr group, for timestamps above all: any stretch of any recording is read without the rest."""

import os
import shutil
from collections.abc import Iterable
from typing import Any

import numpy as np

from .columns import Read, file_columns, row_columns
from .output import Output

CHUNK_BYTES = 1 << 22


def write_zarr(output: Output, read: Read, rows: int, facts: dict[str, Any]) -> None:
    """Makes the group beside its place and renames it; the facts are its attributes."""
    import zarr

    beside = output.state / "result.zarr"
    shutil.rmtree(beside, ignore_errors=True)
    group = zarr.open_group(str(beside), mode="w", zarr_format=2)
    group.attrs.update(facts)
    for column in [*file_columns(read, facts), *row_columns(read, rows, facts)]:
        width = np.dtype(column.dtype).itemsize * int(np.prod(column.shape[1:], initial=1))
        chunks = (max(1, CHUNK_BYTES // width), *column.shape[1:])
        array = group.create_array(column.name, shape=column.shape, chunks=chunks, dtype=column.dtype)
        _fill(array, column.pieces)
    if output.out.exists():
        shutil.rmtree(output.out)
    os.replace(beside, output.out)


def _fill(array: Any, pieces: Iterable[np.ndarray]) -> None:
    start = 0
    for piece in pieces:
        array[start : start + len(piece)] = piece
        start += len(piece)
