"""Rows that wait for their file's end; many of them wait on the disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from .parts import GROUP, NpzWriter, rows_of, storing
from .rows import Footer, Rows


class Spool:
    """Rows in order. Those beyond some megabytes go to a file in ``folder``, which is gone in the end."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"spool-{os.getpid()}.npz"
        self._rows: list[Rows] = []
        self._bytes = 0
        self._file: NpzWriter | None = None

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.path.unlink(missing_ok=True)

    def add(self, rows: Rows) -> None:
        """Appends rows."""
        self._rows.append(rows)
        self._bytes += rows.embedding.nbytes
        if self._bytes >= GROUP:
            with storing(self.path):
                self._file = self._file or NpzWriter(self.path, {})
                self._file.write(Rows.joined(self._rows))
            self._rows, self._bytes = [], 0

    def taken(self) -> Iterator[Rows]:
        """All rows, after which none waits."""
        if self._file is not None:
            with storing(self.path):
                self._file.close(Footer())
            self._file = None
            yield from rows_of(self.path)
        yield from self._rows
        self._rows, self._bytes = [], 0
