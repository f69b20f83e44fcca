"""Checks a pretraining corpus for recordings of the suite: by hash, by fingerprint and by package."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from corpora import catalogue, clips
from corpora.clips import Fingerprint, Fingerprints
from corpora.pack import Pack, PackError

from .recordings import Library

Entry = tuple[str, Fingerprint | None]


class Report(NamedTuple):
    """The numbers of compared clips, and a line for each match."""

    clips: int
    compared: int
    by_fingerprint: bool
    matches: list[str]


def check(library: Library, packages: Iterable[str], manifest: Path) -> Report:
    """Compares a corpus's ``manifest.csv`` with packages of the suite.

    The manifest's hashes of samples find exact copies. Fingerprints find the same recording in another coding; they
    are computed from the corpus's pack, if one lies beside the manifest.
    """
    rows = _rows(manifest)
    entries = [(row.sha256, row.fingerprint) for package in packages for row in library.result(package).rows]
    fingerprints = Fingerprints(entries)
    try:
        pack: Pack | None = Pack.open(manifest.parent)
    except PackError:
        pack = None
    if pack and len(pack) != len(rows):
        raise ValueError(f"{manifest.parent}: the pack has {len(pack)} clips, the manifest {len(rows)}; make it again")
    matches = []
    for row, entry in zip(rows, _entries(rows, pack), strict=True):
        reason = "package" if catalogue.is_eval(row["package"]) else "recording" if entry in fingerprints else ""
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
            yield row["sha256"], clips.fingerprint_of(pack.clip(index))
