"""Finished steps -> the corpus: no clip twice, none of the evaluation's, licences, shards, manifest, corpus.json."""

import csv
import datetime
import json
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile

from hear_audioformer import __version__
from hear_audioformer.files import atomic_write, write_text

from . import clips, shards
from .clips import Prints
from .parts import Part, Row
from .sources import licence_names

Chosen = list[tuple[Row, Path]]


def corpus(out: Path, parts: list[Part], prints: Prints, told: dict[str, Any]) -> dict[str, Any]:
    """Writes everything; ``corpus.json``, which comes last, says that the rest is there. Returns what it holds."""
    target = out / "corpus.json"
    target.unlink(missing_ok=True)
    chosen, dropped = choose(parts, prints)
    if not chosen:
        raise ValueError("no clips are left: nothing was written")
    for part in parts:
        for name, text in part.licences.items():
            file = out / "licences" / part.package / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    names = shards.write(_read(chosen), out, told["format"], told["shard_mb"])
    rows = [row for row, _ in chosen]
    manifest(out / "manifest.csv", [shards.about(row) for row in rows], names)
    note = {
        **told,
        "fingerprint": clips.fingerprint(row.sha256 for row in rows),
        "clips": len(rows),
        "hours": round(sum(row.seconds for row in rows) / 3600, 4),
        "hours_by_kind": hours_by_kind(rows),
        "dropped": dropped,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "versions": {
            "hear_audioformer": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "torch", "soundfile", "soxr")},
            "libsndfile": soundfile.__libsndfile_version__,
        },
        "packages": {
            part.package: {"version": part.version, "sha256": part.deb_sha256} for part in parts if part.deb_sha256
        },
    }
    write_text(target, json.dumps(note, indent=1, ensure_ascii=False) + "\n")
    return note


def choose(parts: list[Part], prints: Prints) -> tuple[Chosen, dict[str, int]]:
    """The clips to keep, in order of their hashes, and how many were dropped, by reason."""
    dropped: dict[str, int] = {}
    kept: dict[str, tuple[Row, Path]] = {}
    for part in parts:
        names = licence_names(part.licences.values())
        for row in part.rows:
            row.licence = names
        for reason, count in part.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    for row, path in sorted(
        ((row, part.bin) for part in parts for row in part.rows), key=lambda one: (one[0].package, one[0].path)
    ):
        reason = "duplicate" if row.sha256 in kept else "evaluation" if (row.sha256, row.print) in prints else ""
        if reason:
            dropped[reason] = dropped.get(reason, 0) + 1
        else:
            kept[row.sha256] = (row, path)
    return [kept[sha] for sha in sorted(kept)], dropped


def hours_by_kind(rows: list[Row]) -> dict[str, float]:
    """Hours of each kind, the most first."""
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row.kind] = seconds.get(row.kind, 0.0) + row.seconds
    return {kind: round(seconds[kind] / 3600, 4) for kind in sorted(seconds, key=lambda kind: -seconds[kind])}


def manifest(path: Path, clips: list[dict[str, Any]], names: list[str]) -> None:
    """Writes what the clips' JSON says as one table, with the shard of each."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, ["shard", *clips[0]], lineterminator="\n")
        writer.writeheader()
        for about, name in zip(clips, names, strict=True):
            labels = json.dumps(about["labels"], ensure_ascii=False) if about["labels"] else ""
            writer.writerow({"shard": name, **about, "labels": labels})


def _read(chosen: Chosen) -> Iterator[shards.Clip]:
    for row, path in chosen:
        with open(path, "rb") as file:
            file.seek(row.offset)
            yield shards.about(row), file.read(row.size)
