"""Step results -> the corpus: licences, shards, manifest, corpus.json; without duplicates and evaluation clips."""

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
from .clips import Fingerprints
from .sources import licence_names
from .steps import ClipRow, StepResult

Selection = list[tuple[ClipRow, Path]]


def write_corpus(
    out: Path, results: list[StepResult], excluded: Fingerprints, identity: dict[str, Any]
) -> dict[str, Any]:
    """Writes the corpus and returns its ``corpus.json``, which is written last: it marks the corpus as complete."""
    target = out / "corpus.json"
    target.unlink(missing_ok=True)
    selected, dropped = select_clips(results, excluded)
    if not selected:
        raise ValueError("no clips are left: nothing was written")
    for result in results:
        for name, text in result.licences.items():
            file = out / "licences" / result.package / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    shard_names = shards.write(_encoded_clips(selected), out, identity["format"], identity["shard_mb"])
    rows = [row for row, _ in selected]
    write_manifest(out / "manifest.csv", [shards.metadata(row) for row in rows], shard_names)
    summary = {
        **identity,
        "fingerprint": clips.corpus_hash(row.sha256 for row in rows),
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
            result.package: {"version": result.version, "sha256": result.deb_sha256}
            for result in results
            if result.deb_sha256
        },
    }
    write_text(target, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return summary


def select_clips(results: list[StepResult], excluded: Fingerprints) -> tuple[Selection, dict[str, int]]:
    """The clips to keep, sorted by hash, and the number of dropped clips by reason."""
    dropped: dict[str, int] = {}
    kept: dict[str, tuple[ClipRow, Path]] = {}
    for result in results:
        names = licence_names(result.licences.values())
        for row in result.rows:
            row.licence = names
        for reason, count in result.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    for row, path in sorted(
        ((row, result.bin) for result in results for row in result.rows),
        key=lambda entry: (entry[0].package, entry[0].path),
    ):
        reason = (
            "duplicate" if row.sha256 in kept else "evaluation" if (row.sha256, row.fingerprint) in excluded else ""
        )
        if reason:
            dropped[reason] = dropped.get(reason, 0) + 1
        else:
            kept[row.sha256] = (row, path)
    return [kept[sha] for sha in sorted(kept)], dropped


def hours_by_kind(rows: list[ClipRow]) -> dict[str, float]:
    """Hours of each kind, in descending order."""
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row.kind] = seconds.get(row.kind, 0.0) + row.seconds
    return {kind: round(seconds[kind] / 3600, 4) for kind in sorted(seconds, key=lambda kind: -seconds[kind])}


def write_manifest(path: Path, metadata: list[dict[str, Any]], shard_names: list[str]) -> None:
    """Writes the clips' metadata as one table, with the shard of each clip."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, ["shard", *metadata[0]], lineterminator="\n")
        writer.writeheader()
        for row, shard in zip(metadata, shard_names, strict=True):
            labels = json.dumps(row["labels"], ensure_ascii=False) if row["labels"] else ""
            writer.writerow({"shard": shard, **row, "labels": labels})


def _encoded_clips(selected: Selection) -> Iterator[shards.Clip]:
    for row, path in selected:
        with open(path, "rb") as file:
            file.seek(row.offset)
            yield shards.metadata(row), file.read(row.size)
