"""Whether a corpus for pretraining holds recordings of the suite: by hash, by print, and by package."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from corpora import catalogue, clips
from corpora.clips import Print, Prints
from corpora.pack import Pack, PackError

from .recordings import Library

Entry = tuple[str, Print | None]


class Report(NamedTuple):
    """What was compared, and a line for each match."""

    clips: int
    known: int
    printed: bool
    matches: list[str]


def check(library: Library, packages: Iterable[str], manifest: Path) -> Report:
    """Compares a corpus's ``manifest.csv`` with packages of the suite.

    The manifest has hashes of samples, which find copies. Prints, which find the same recording in another coding, come
    from the corpus's pack where one lies beside the manifest.
    """
    rows = _rows(manifest)
    entries = [(row.sha256, row.print) for package in packages for row in library.part(package).rows]
    prints = Prints(entries)
    try:
        pack: Pack | None = Pack.open(manifest.parent)
    except PackError:
        pack = None
    if pack and len(pack) != len(rows):
        raise ValueError(f"{manifest.parent}: the pack has {len(pack)} clips, the manifest {len(rows)}; make it again")
    matches = []
    for row, entry in zip(rows, _entries(rows, pack), strict=True):
        reason = "package" if catalogue.is_eval(row["package"]) else "recording" if entry in prints else ""
        if reason:
            matches.append(f"{row['package']}: {row['path']} (its {reason} is the evaluation's)")
    return Report(len(rows), len(entries), pack is not None, matches)


def _rows(manifest: Path) -> list[dict[str, str]]:
    with open(manifest, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"package", "path", "sha256"} <= rows[0].keys():
        raise ValueError(f"{manifest}: is no manifest of a corpus (columns package, path, sha256)")
    return rows


def _entries(rows: list[dict[str, str]], pack: Pack | None) -> Iterator[Entry]:
    if pack is None:
        yield from ((row["sha256"], None) for row in rows)
        return
    with click.progressbar(rows, label="Prints of the corpus") as bar:
        for index, row in enumerate(bar):
            yield row["sha256"], clips.print_of(pack.clip(index))
