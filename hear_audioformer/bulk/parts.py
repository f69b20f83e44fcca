"""Part files: rows of neighbouring files, and a footer, in one file that is there whole or not at all.

``NAME/part-FIRST-LAST.parquet`` holds the rows of the files FIRST to LAST of the plan, in their order. It is written
elsewhere, brought to the disk, and renamed, so its name alone says that these files are done. An ``.npz`` part holds
the same without pyarrow, for results in one ``.npz``.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from ..errors import StoreError
from ..files import sync_file, sync_folder
from .rows import Footer, Rows, Trouble

KEY = "hear_audioformer"  # of the table's facts in the metadata of a part
FOOTER = "hear_audioformer.footer"
GROUP = 1 << 24  # bytes of embeddings in one row group
NAME = re.compile(r"part-(\d{12})-(\d{12})\.(?:parquet|npz)")


@dataclass(frozen=True)
class Kind:
    """What parts of one table have in common.

    Attributes:
        form: parquet or npz.
        dim: width of an embedding.
        dtype: float32 or float16.
        facts: of the table: model, sha256, options, version.
    """

    form: str
    dim: int
    dtype: str
    facts: dict[str, Any]


class Writer(Protocol):
    """A part file being written."""

    def write(self, rows: Rows) -> None:
        """Appends a row group."""

    def close(self, footer: Footer) -> None:
        """Appends the footer and completes the file."""


class Part:
    """A part being written; it comes to stand in ``folder`` when it is committed.

    Args:
        temporary: the folder for unfinished files, on the same file system.
        span: the numbers of its first and last file.
    """

    def __init__(self, folder: Path, temporary: Path, span: tuple[int, int], kind: Kind) -> None:
        self.path = folder / f"part-{span[0]:012}-{span[1]:012}.{kind.form}"
        self.temporary = temporary / f"{self.path.name}.{os.getpid()}"
        self.footer = Footer()
        self._waiting: list[Rows] = []
        self._bytes = 0
        with storing(self.temporary):
            self._writer: Writer = (
                ParquetWriter(self.temporary, kind) if kind.form == "parquet" else NpzWriter(self.temporary, kind.facts)
            )

    def write(self, rows: Rows) -> None:
        """Appends rows; they reach the file in groups of some megabytes."""
        self._waiting.append(rows)
        self._bytes += rows.embedding.nbytes
        self.footer.rows += len(rows)
        if self._bytes >= GROUP:
            self._flush()

    def commit(self) -> None:
        """Completes the file, brings it to the disk and gives it its name."""
        with storing(self.temporary):
            self._flush()
            self._writer.close(self.footer)
            sync_file(self.temporary)
            os.replace(self.temporary, self.path)
            sync_folder(self.path.parent)

    def _flush(self) -> None:
        if self._waiting:
            with storing(self.temporary):
                self._writer.write(Rows.joined(self._waiting))
        self._waiting, self._bytes = [], 0


class storing:  # noqa: N801
    """Says of errors of the file system that it is the result which could not be written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise StoreError(
                f"{self.path.parent}: cannot write: {reason}; mend this and give the same command again, it goes on"
            ) from error


class ParquetWriter:
    """A part as Parquet; the facts and the footer stand in its metadata."""

    def __init__(self, path: Path, kind: Kind) -> None:
        from pyarrow import parquet

        self.schema = schema(kind.dim, kind.dtype, kind.facts)
        self.writer = parquet.ParquetWriter(path, self.schema, compression={"path": "zstd", "embedding": "none"})

    def write(self, rows: Rows) -> None:
        self.writer.write_table(table_of(rows, self.schema))

    def close(self, footer: Footer) -> None:
        self.writer.add_key_value_metadata({FOOTER: _footer_text(footer)})
        self.writer.close()


class NpzWriter:
    """A part as .npz: the columns of row group 3 are ``3/path``, ``3/offset``, ...; then ``footer`` and ``facts``."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.file = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self.groups = 0
        self._add("facts", np.array(json.dumps(facts)))

    def write(self, rows: Rows) -> None:
        columns = {**vars(rows), "path": np.array(rows.path)}
        for name, column in columns.items():
            self._add(f"{self.groups}/{name}", column)
        self.groups += 1

    def close(self, footer: Footer) -> None:
        self._add("footer", np.array(_footer_text(footer)))
        with self._abandoned():
            self.file.close()

    def _add(self, name: str, array: np.ndarray) -> None:
        with self._abandoned(), self.file.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, array, allow_pickle=False)

    @contextmanager
    def _abandoned(self) -> Iterator[None]:
        """Gives the file up if it cannot be written; else zipfile would try to complete it when it is collected."""
        try:
            yield
        except OSError:
            self.file.fp = None
            raise


def schema(dim: int, dtype: str, facts: dict[str, Any]) -> Any:
    """The columns of the table, with its facts as metadata."""
    import pyarrow as pa

    value = pa.float16() if dtype == "float16" else pa.float32()
    columns = [("path", pa.string()), ("offset", pa.float64()), ("seconds", pa.float64()), ("sample_rate", pa.int32())]
    return pa.schema([*columns, ("embedding", pa.list_(value, dim))], metadata={KEY: json.dumps(facts)})


def table_of(rows: Rows, columns: Any) -> Any:
    """Rows as an Arrow table."""
    import pyarrow as pa

    kind = columns.field("embedding").type
    flat = pa.array(np.ascontiguousarray(rows.embedding).ravel(), kind.value_type)
    arrays = [pa.array(rows.path, pa.string()), *map(pa.array, (rows.offset, rows.seconds, rows.sample_rate))]
    return pa.Table.from_arrays([*arrays, pa.FixedSizeListArray.from_arrays(flat, kind.list_size)], schema=columns)


def rows_of(path: Path) -> Iterator[Rows]:
    """The row groups of a part."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            for group in range(sum(name.endswith("/path") for name in file.files)):
                columns = {name: file[f"{group}/{name}"] for name in Rows.__dataclass_fields__}
                yield Rows(**{**columns, "path": columns["path"].tolist()})
        return
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield rows_of_table(file.read_row_group(group))


def rows_of_table(table: Any) -> Rows:
    """An Arrow table as rows."""
    column = table["embedding"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    offset, seconds, rate = (table[name].to_numpy() for name in ("offset", "seconds", "sample_rate"))
    return Rows(table["path"].to_pylist(), offset, seconds, rate, flat.reshape(len(column), -1))


def footer_of(path: Path) -> Footer:
    """The footer of a part, without its rows."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            text = str(file["footer"])
    else:
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            text = file.metadata.metadata[FOOTER.encode()].decode()
    raw = json.loads(text)
    keys = {int(file): (size, time) for file, size, time in raw["keys"]}
    return Footer(keys, [Trouble(**trouble) for trouble in raw["troubles"]], raw["rows"])


def _footer_text(footer: Footer) -> str:
    keys = [[file, *key] for file, key in footer.keys.items()]
    return json.dumps({"keys": keys, "troubles": [asdict(one) for one in footer.troubles], "rows": footer.rows})


def parts(folder: Path) -> list[Path]:
    """The parts in a folder, in the order of their files."""
    return sorted((path for path in folder.iterdir() if NAME.fullmatch(path.name)), key=lambda path: path.name)


def span(path: Path) -> tuple[int, int]:
    """The numbers of the first and the last file of a part."""
    match = NAME.fullmatch(path.name)
    assert match
    return int(match[1]), int(match[2])
