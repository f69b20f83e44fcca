"""A corpus cut into small pieces for transport: shards of Ogg-Opus at about 24 kbit/s.

``python -m corpora.pieces pack CORPUS OUT`` on the one machine, ``python -m corpora.pieces unpack OUT NEW`` on the
other. Opus is lossy, so NEW is a corpus of its own. A clip's hash is that of its encoded bytes, which every machine can
check; the corpus hash follows from these. ``corpus.json`` and every clip name their originals. Keys stay.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import soundfile

from hear_audioformer.checkpoint import sha256
from hear_audioformer.read_ahead import read_ahead

from . import assemble, clips, shards
from .shards import Clip
from .steps import encode

ABOUT = "about.tar.xz"  # the piece with corpus.json, manifest.csv and licences; written last
AHEAD = 8  # clips encoded ahead of the writer


class PiecesError(RuntimeError):
    """Pieces that cannot be written or joined; the message says why."""


def pack(corpus: Path, out: Path, megabytes: int, jobs: int = 2) -> dict[str, Any]:
    """Writes the pieces of a corpus into a new folder; returns their ``corpus.json``."""
    try:
        summary = json.loads((corpus / "corpus.json").read_text())
    except OSError as error:
        raise PiecesError(f"{corpus}: holds no finished corpus (no corpus.json)") from error
    if out.exists():
        raise PiecesError(f"{out} is there already: choose another folder, or delete it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as name, ThreadPoolExecutor(jobs) as pool:
        work = Path(name)
        written: list[dict[str, Any]] = []

        def opus_clips() -> Iterator[Clip]:
            for metadata, data in read_ahead(pool, _as_opus, shards.read(corpus), AHEAD):
                written.append(metadata)
                yield metadata, data

        with click.progressbar(opus_clips(), length=summary["clips"], label="Encoding") as bar:
            names = shards.write(bar, work, "opus", megabytes)
        summary = {
            **summary,
            "format": "opus",
            "shard_mb": megabytes,
            "fingerprint": clips.corpus_hash(metadata["sha256"] for metadata in written),
            "original": summary.get("original") or {name: summary[name] for name in ("fingerprint", "format")},
            "pieces": {path.name: sha256(path) for path in sorted((work / "shards").iterdir())},
        }
        (work / "corpus.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
        assemble.write_manifest(work / "manifest.csv", written, names)
        with tarfile.open(work / "shards" / ABOUT, "w:xz") as tar:
            for name in ("corpus.json", "manifest.csv"):
                tar.add(work / name, name)
            if (corpus / "licences").exists():  # the user's own recordings may have none
                tar.add(corpus / "licences", "licences")
        os.replace(work / "shards", out)
    return summary


def unpack(pieces: Iterable[Path], out: Path) -> dict[str, Any]:
    """Joins pieces into a corpus in a new folder; returns its ``corpus.json``."""
    paths = {path.name: path for piece in pieces for path in (piece.iterdir() if piece.is_dir() else [piece])}
    if out.exists():
        raise PiecesError(f"{out} is there already: choose another folder, or delete it")
    if ABOUT not in paths:
        raise PiecesError(f"{ABOUT} is missing, which says what the corpus is")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        work = Path(name) / "corpus"
        with tarfile.open(paths[ABOUT]) as tar:
            tar.extractall(work, filter="data")
        summary = json.loads((work / "corpus.json").read_text())
        if missing := sorted(summary["pieces"].keys() - paths.keys()):
            raise PiecesError(f"{len(missing)} of {len(summary['pieces'])} pieces are missing: {', '.join(missing)}")
        (work / "shards").mkdir()
        for name, digest in summary["pieces"].items():
            shutil.copyfile(paths[name], work / "shards" / name)
            if sha256(work / "shards" / name) != digest:
                raise PiecesError(f"{paths[name]} is damaged, or a piece of another corpus: fetch it again")
        os.replace(work, out)
    return summary


def _as_opus(clip: Clip) -> Clip:
    """A clip encoded as Opus; an Opus clip keeps its bytes."""
    metadata, data = clip
    if not data.startswith(b"OggS"):
        data = encode(soundfile.read(io.BytesIO(data), dtype="int16")[0], "opus")
    original = metadata.get("original_sha256", metadata["sha256"])
    return {**metadata, "sha256": hashlib.sha256(data).hexdigest(), "original_sha256": original}, data


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A corpus in small pieces of Ogg-Opus, for transport, and back.

    Opus at about 24 kbit/s takes some 11 MB an hour. It is lossy: what is unpacked is a corpus of its own.

    \b
    Examples:
      python -m corpora.pieces pack data/open pieces/          # on the one machine
      python -m corpora.pieces unpack pieces/ data/open-opus   # on the other
      python -m corpora.pack data/open-opus
    """


@main.command("pack")
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--piece-mb", default=45, show_default=True, type=click.IntRange(min=1), help="Of one piece at most.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Threads that encode.")
def pack_command(corpus: Path, out: Path, piece_mb: int, jobs: int) -> None:
    """Writes the clips of CORPUS as Opus into pieces in the new folder OUT."""
    try:
        summary = pack(corpus, out, piece_mb, jobs)
    except PiecesError as error:
        raise click.ClickException(str(error)) from error
    size = sum(path.stat().st_size for path in out.iterdir())
    click.echo(
        f"{len(summary['pieces']) + 1} pieces, {size / 1e6:.1f} MB, {size / 1e6 / summary['hours']:.1f} MB an hour"
    )
    click.echo(f"fingerprint {summary['fingerprint']}, of {summary['original']['fingerprint']}")


@main.command("unpack")
@click.argument("pieces", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def unpack_command(pieces: tuple[Path, ...], out: Path) -> None:
    """Joins PIECES, files or folders of them, into a corpus in the new folder OUT."""
    try:
        summary = unpack(pieces, out)
    except PiecesError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{summary['clips']} clips, {summary['hours']:.2f} h, fingerprint {summary['fingerprint']}")
    click.echo(f"To train on it: python -m corpora.pack {out}, or data.reader=stream")


if __name__ == "__main__":
    main()
