"""Whether a folder of parts still holds all that its run made: a table with a hole would answer, and wrongly."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ..errors import StoreError
from .parts import span


def refuse_removed(folder: Path, files: Sequence[Path]) -> None:
    """Refuses the parts of a complete run of which one is gone. A run that still goes on may have holes."""
    try:
        complete = bool(json.loads((folder / "_run" / "run.json").read_text(encoding="utf-8"))["complete"])
    except (OSError, ValueError, KeyError, TypeError):  # parts alone are a table too
        return
    if not complete:
        return
    expected = 0
    for first, last in map(span, files):
        if first > expected:
            _refuse(folder, expected, first - 1)
        expected = max(expected, last + 1)
    if expected < (planned := _planned(folder / "_run" / "plan.sqlite")):
        _refuse(folder, expected, planned - 1)


def _refuse(folder: Path, first: int, last: int) -> None:
    raise StoreError(
        f"{folder} has no part with recordings {first} to {last}, though its run was complete: "
        "give the command of embed again with --append, which makes it anew"
    )


def _planned(plan: Path) -> int:
    """Number of files of a run; 0 if that is not known."""
    try:
        database = sqlite3.connect(f"file:{quote(str(plan))}?mode=ro", uri=True)
        try:
            return int(database.execute("SELECT count(*) FROM files").fetchone()[0])
        finally:
            database.close()
    except sqlite3.Error:
        return 0
