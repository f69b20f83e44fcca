"""Tables that name recordings: CSV, JSON lines, Parquet. Read in memory that does not grow with the rows."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from hear_audioformer.errors import InputError

DELIMITERS = (",", "\t", ";", "|")
BATCH = 10_000  # rows of Parquet in memory at once


def rows(file: BinaryIO, name: str, suffix: str, column: str) -> Iterator[str]:
    """The paths of a manifest, as they are written in it."""
    for place, value in READERS[suffix](file, name, column):
        if not isinstance(value, str) or not value.strip():
            held = "is empty" if value is None or value == "" or isinstance(value, str) else f"holds {value!r}"
            raise InputError(f"{name}, {place}: column {column!r} {held}; each row must name a file")
        yield value


def _text(file: BinaryIO) -> io.TextIOWrapper:
    """UTF-8, with or without a mark; other bytes stay what they are, as in names of files."""
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv(file: BinaryIO, name: str, column: str) -> Iterator[tuple[str, Any]]:
    """Any delimiter of those in use: the one that finds the column in the header."""
    text = _text(file)
    header = text.readline()
    for delimiter in DELIMITERS:
        columns = [one.strip() for one in next(csv.reader([header], delimiter=delimiter), [])]
        if column in columns:
            break
    else:
        raise _no_column(name, column, header.strip())
    index, reader = columns.index(column), csv.reader(text, delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            if row:
                yield f"line {reader.line_num + 1}", row[index] if index < len(row) else None
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num + 1}: {error}") from error


def _jsonl(file: BinaryIO, name: str, column: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_text(file), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{name}, line {number}: is not JSON ({error})") from error
        if not isinstance(row, dict) or column not in row:
            raise InputError(f"{name}, line {number}: has no key {column!r}; name the one that holds the paths")
        yield f"line {number}", row[column]


def _parquet(file: BinaryIO, name: str, column: str) -> Iterator[tuple[str, Any]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"{name}: reading Parquet needs pyarrow: pip install pyarrow") from error
    try:
        table = parquet.ParquetFile(file)
    except pa.ArrowException as error:
        raise InputError(f"{name}: is not a Parquet file ({error})") from error
    if column not in table.schema_arrow.names:
        raise _no_column(name, column, ", ".join(table.schema_arrow.names))
    number = 0
    for batch in table.iter_batches(BATCH, columns=[column]):
        for value in batch.column(0).to_pylist():
            number += 1
            yield f"row {number}", value


def _no_column(name: str, column: str, columns: str) -> InputError:
    return InputError(f"{name}: has no column {column!r}; name the one that holds the paths (its header: {columns})")


READERS = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
