"""The plan of a run: all its files, each with a number, cut into tasks. SQLite keeps it, so memory stays bounded.

A task is some files that one worker embeds together. Tasks are cut by the list alone, hence a file shares its batches
with the same neighbours in every run, on any number of workers, and its vector is the same to the last bit.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .sources import Source

TASK_FILES = 32
TASK_BYTES = 1 << 25
TABLES = """
CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY, path BLOB UNIQUE, size INTEGER, mtime INTEGER, container BLOB, start INTEGER
);
CREATE TABLE IF NOT EXISTS tasks (first INTEGER PRIMARY KEY, last INTEGER, bytes INTEGER);
"""


@dataclass(frozen=True)
class Item:
    """A file of the plan and its number."""

    number: int
    source: Source


@dataclass(frozen=True)
class Task:
    """Neighbouring files of the plan, ``first`` to ``last``.

    Attributes:
        bytes: size of the files together, at least one.
    """

    first: int
    last: int
    bytes: int


class Plan:
    """The files and tasks of a run, in a database file."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.executescript(TABLES)

    def close(self) -> None:
        """Lets go of the database file."""
        self.database.close()

    @property
    def files(self) -> int:
        """Number of files."""
        return int(self._value("SELECT count(*) FROM files"))

    def add(
        self,
        sources: Iterable[Source],
        *,
        again: Sequence[int] = (),
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Appends files in their order and cuts them into tasks; in one transaction, so all or none.

        Files that the plan holds already stay as they are, but those with a number in ``again`` get a new one. Returns
        how many were appended.
        """
        self.database.execute("BEGIN IMMEDIATE")
        try:
            for number in again:
                self.database.execute("DELETE FROM files WHERE number = ?", (number,))
            added = self._append(sources, progress or (lambda count: None))
            self.database.execute("COMMIT")
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        return added

    def _append(self, sources: Iterable[Source], progress: Callable[[int], None]) -> int:
        begin = first = number = int(self._value("SELECT coalesce(max(last), -1) + 1 FROM tasks"))
        size = 0
        for listed, source in enumerate(sources):
            if listed % 1000 == 0:
                progress(listed)
            row = (number, os.fsencode(source.path), source.size, source.mtime, os.fsencode(source.container))
            insert = "INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?, ?)"
            if not self.database.execute(insert, (*row, source.start)).rowcount:
                continue
            number += 1
            size += source.size
            if number - first == TASK_FILES or size >= TASK_BYTES:
                self._cut(first, number, size)
                first, size = number, 0
        self._cut(first, number, size)
        return number - begin

    def _cut(self, first: int, stop: int, size: int) -> None:
        if first < stop:
            self.database.execute("INSERT INTO tasks VALUES (?, ?, ?)", (first, stop - 1, max(size, stop - first)))

    def tasks(self, done: Sequence[tuple[int, int]] = ()) -> Iterator[Task]:
        """The tasks in order, but those inside of ``done``: first and last numbers of files, in order."""
        spans = iter([*done, (1 << 62, 1 << 62)])
        span = next(spans)
        cursor = self.database.execute("SELECT first, last, bytes FROM tasks ORDER BY first")
        for first, last, size in cursor:
            while span[1] < first:
                span = next(spans)
            if first < span[0]:
                yield Task(first, last, size)

    def items(self, first: int, last: int) -> list[Item]:
        """The files from one number to another."""
        query = "SELECT * FROM files WHERE number BETWEEN ? AND ? ORDER BY number"
        return [
            Item(number, Source(os.fsdecode(path), size, mtime, os.fsdecode(container), start))
            for number, path, size, mtime, container, start in self.database.execute(query, (first, last))
        ]

    def _value(self, query: str) -> int:
        return self.database.execute(query).fetchone()[0]
