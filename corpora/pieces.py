"""A corpus in small pieces, to be carried to another machine: Ogg-Opus at about 24 kbit/s.

``python -m corpora.pieces pack CORPUS OUT`` there, ``python -m corpora.pieces unpack OUT NEW`` here.
Opus is lossy, so NEW is a corpus of its own: a clip's hash is that of its encoded bytes, which every machine can check,
and the fingerprint follows from these; ``corpus.json`` and every clip name their originals. Keys stay.
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
from .parts import encode
from .shards import Clip

ABOUT = "about.tar.xz"  # the piece with corpus.json, manifest.csv and licences; written last
AHEAD = 8  # clips encoded ahead of the one that is written


class PiecesError(RuntimeError):
    """Pieces that cannot be made or put together; the message says why."""


def pack(corpus: Path, out: Path, megabytes: int, jobs: int = 2) -> dict[str, Any]:
    """Writes the pieces of a corpus into a new folder; returns their ``corpus.json``."""
    try:
        told = json.loads((corpus / "corpus.json").read_text())
    except OSError as error:
        raise PiecesError(f"{corpus}: holds no finished corpus (no corpus.json)") from error
    if out.exists():
        raise PiecesError(f"{out} is there already: choose another folder, or delete it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as name, ThreadPoolExecutor(jobs) as pool:
        work = Path(name)
        written: list[dict[str, Any]] = []

        def lighter() -> Iterator[Clip]:
            for about, data in read_ahead(pool, _lighter, shards.read(corpus), AHEAD):
                written.append(about)
                yield about, data

        with click.progressbar(lighter(), length=told["clips"], label="Encoding") as bar:
            names = shards.write(bar, work, "opus", megabytes)
        told = {
            **told,
            "format": "opus",
            "shard_mb": megabytes,
            "fingerprint": clips.fingerprint(about["sha256"] for about in written),
            "original": told.get("original") or {name: told[name] for name in ("fingerprint", "format")},
            "pieces": {path.name: sha256(path) for path in sorted((work / "shards").iterdir())},
        }
        (work / "corpus.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        assemble.manifest(work / "manifest.csv", written, names)
        with tarfile.open(work / "shards" / ABOUT, "w:xz") as tar:
            for name in ("corpus.json", "manifest.csv"):
                tar.add(work / name, name)
            if (corpus / "licences").exists():  # a table of one's own recordings may come without
                tar.add(corpus / "licences", "licences")
        os.replace(work / "shards", out)
    return told


def unpack(pieces: Iterable[Path], out: Path) -> dict[str, Any]:
    """Puts pieces together to a corpus in a new folder; returns its ``corpus.json``."""
    found = {path.name: path for piece in pieces for path in (piece.iterdir() if piece.is_dir() else [piece])}
    if out.exists():
        raise PiecesError(f"{out} is there already: choose another folder, or delete it")
    if ABOUT not in found:
        raise PiecesError(f"{ABOUT} is missing, which says what the corpus is")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        work = Path(name) / "corpus"
        with tarfile.open(found[ABOUT]) as tar:
            tar.extractall(work, filter="data")
        told = json.loads((work / "corpus.json").read_text())
        if missing := sorted(told["pieces"].keys() - found.keys()):
            raise PiecesError(f"{len(missing)} of {len(told['pieces'])} pieces are missing: {', '.join(missing)}")
        (work / "shards").mkdir()
        for name, wanted in told["pieces"].items():
            shutil.copyfile(found[name], work / "shards" / name)
            if sha256(work / "shards" / name) != wanted:
                raise PiecesError(f"{found[name]} is damaged, or a piece of another corpus: fetch it again")
        os.replace(work, out)
    return told


def _lighter(clip: Clip) -> Clip:
    """A clip as Opus, whatever it was; Opus stays as it is."""
    about, data = clip
    if not data.startswith(b"OggS"):
        data = encode(soundfile.read(io.BytesIO(data), dtype="int16")[0], "opus")
    original = about.get("original_sha256", about["sha256"])
    return {**about, "sha256": hashlib.sha256(data).hexdigest(), "original_sha256": original}, data


@click.group()
def main() -> None:
    """A corpus in small pieces of Ogg-Opus, and back."""


@main.command("pack")
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--piece-mb", default=45, show_default=True, type=click.IntRange(min=1), help="Of one piece at most.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Threads that encode.")
def pack_command(corpus: Path, out: Path, piece_mb: int, jobs: int) -> None:
    """Writes the clips of CORPUS as Opus into pieces in the new folder OUT."""
    try:
        told = pack(corpus, out, piece_mb, jobs)
    except PiecesError as error:
        raise click.ClickException(str(error)) from error
    size = sum(path.stat().st_size for path in out.iterdir())
    click.echo(f"{len(told['pieces']) + 1} pieces, {size / 1e6:.1f} MB, {size / 1e6 / told['hours']:.1f} MB an hour")
    click.echo(f"fingerprint {told['fingerprint']}, of {told['original']['fingerprint']}")


@main.command("unpack")
@click.argument("pieces", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def unpack_command(pieces: tuple[Path, ...], out: Path) -> None:
    """Puts PIECES, files or folders of them, together to a corpus in the new folder OUT."""
    try:
        told = unpack(pieces, out)
    except PiecesError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{told['clips']} clips, {told['hours']:.2f} h, fingerprint {told['fingerprint']}")
    click.echo(f"To train on it: python -m corpora.pack {out}, or data.reader=stream")


if __name__ == "__main__":
    main()
