"""What became of the files: read from the footers of the parts, which alone know it, in bounded memory."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..files import atomic_write
from .opening import state_now
from .output import Output
from .parts import footer_of, parts, span
from .plan import Plan
from .rows import Trouble
from .sources import shown

NAMED = 20  # files that a message names


@dataclass
class Summary:
    """The state of a result.

    Attributes:
        out: the result.
        rows: in the table.
        files: with a row.
        missing: files without one.
        total: files of the plan.
        troubles: the first files without a row.
        changed: the first files that are not what they were when they were embedded; their rows stay.
        errors: the table of files without a row and of odd ones; None if there are none.
    """

    out: Path
    rows: int = 0
    files: int = 0
    missing: int = 0
    total: int = 0
    troubles: list[Trouble] = field(default_factory=list)
    changes: int = 0
    changed: list[str] = field(default_factory=list)
    errors: Path | None = None


def summarise(output: Output, plan: Plan) -> Summary:
    """Reads all footers, and writes the table of errors."""
    summary = Summary(output.out, total=plan.files)
    errors = output.state / "errors.csv" if not output.single else Path(f"{output.out}.errors.csv")
    with atomic_write(errors) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "error", "time", "has_row"])
        for trouble in _troubles(output, plan, summary):
            table.writerow([trouble.path, trouble.error, trouble.time, not trouble.fatal])
            summary.errors = errors
            if trouble.fatal:
                summary.missing += 1
                summary.troubles += [trouble] if len(summary.troubles) < NAMED else []
    if summary.errors is None:
        errors.unlink()
    summary.files = summary.total - summary.missing
    return summary


def _troubles(output: Output, plan: Plan, summary: Summary) -> Iterator[Trouble]:
    """What is wrong with files of the plan; counts rows and changed files by the way."""
    for part in parts(output.folder):
        footer = footer_of(part)
        summary.rows += footer.rows
        present = {item.number: item.source for item in plan.items(*span(part))}  # others were tried again later
        yield from (trouble for trouble in footer.troubles if trouble.file in present)
        failed = {trouble.file for trouble in footer.troubles if trouble.fatal}
        for number, key in footer.keys.items():
            source = present.get(number)
            if source is None or number in failed or "://" in source.path:
                continue
            if state_now(source) not in (None, key):
                summary.changes += 1
                summary.changed += [shown(source.path)] if len(summary.changed) < NAMED else []


def failed(output: Output) -> list[int]:
    """The numbers of files without a row."""
    return [trouble.file for part in parts(output.folder) for trouble in footer_of(part).troubles if trouble.fatal]
