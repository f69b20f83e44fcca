"""All clips of a corpus as one memory-mapped array, ``pack.int16``, with the index of its clips, ``pack.npz``.

``python -m corpora.pack OUT`` makes both files from the shards. ``--join A --join B`` makes them from other packs.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile

from hear_audioformer.read_ahead import read_ahead

from . import clips, shards
from .clips import RATE

AHEAD = 16  # clips decoded ahead of the writer


class PackError(RuntimeError):
    """A pack that cannot be made or read; the message says why."""


@dataclass(frozen=True)
class Pack:
    """The clips of a corpus: clip ``i`` is ``samples[offsets[i] : offsets[i] + lengths[i]]``, 16 kHz, mono.

    Clip ``i`` is also row ``i`` of ``manifest.csv``. Its kind is ``kinds[kind_of[i]]``, its package
    ``packages[package_of[i]]``. ``lengths`` of Opus clips are decoded lengths. ``fingerprint`` is the corpus hash.
    """

    samples: np.memmap
    offsets: np.ndarray
    lengths: np.ndarray
    kinds: list[str]
    kind_of: np.ndarray
    packages: list[str]
    package_of: np.ndarray
    keys: list[str]
    fingerprint: str
    format: str

    @classmethod
    def open(cls, path: str | Path) -> "Pack":
        """Opens a corpus's folder, ``pack.int16`` or ``pack.npz``. Reads only the index into memory."""
        folder = Path(path).parent if Path(path).name in ("pack.int16", "pack.npz") else Path(path)
        require_folder(folder)
        index, array = folder / "pack.npz", folder / "pack.int16"
        if not (index.exists() and array.exists()):
            raise PackError(f"{folder}: has no pack; `python -m corpora.pack {folder}` makes one")
        with np.load(index, allow_pickle=False) as file:
            columns: dict[str, Any] = {name: file[name] for name in file.files}
        for name in ("kinds", "packages", "keys"):
            columns[name] = columns[name].tolist()
        for name in ("fingerprint", "format"):
            columns[name] = str(columns[name])
        if array.stat().st_size != 2 * int(columns["lengths"].sum()):
            raise PackError(f"{array}: is not as long as {index.name} says; make it again")
        return cls(samples=np.memmap(array, "<i2", "c"), **columns)  # "c": torch dislikes read-only

    def __len__(self) -> int:
        return len(self.lengths)

    def clip(self, index: int) -> np.ndarray:
        """The samples of one clip, int16, without a copy."""
        start = int(self.offsets[index])
        return self.samples[start : start + int(self.lengths[index])]

    @property
    def hours(self) -> float:
        return int(self.lengths.sum()) / RATE / 3600


def require_folder(folder: Path) -> None:
    """Refuses a corpus that is not there, by its own name."""
    if not folder.is_dir():
        raise PackError(f"{folder}: there is no such folder; `python -m corpora.corpus {folder} --set open` makes one")


def make(out: Path, jobs: int = 2) -> Pack:
    """Decodes all shards of a corpus into its pack. Checks the samples of every FLAC clip against its hash."""
    try:
        corpus = json.loads((out / "corpus.json").read_text())
    except OSError as error:
        raise PackError(f"{out}: holds no finished corpus (no corpus.json)") from error
    clips_metadata: list[dict[str, Any]] = []
    lengths: list[int] = []
    (out / "pack.npz").unlink(missing_ok=True)
    bar: Any = click.progressbar(length=corpus["clips"], label="Packing", file=sys.stderr)
    with open(out / "pack.int16.tmp", "wb") as file, ThreadPoolExecutor(jobs) as pool, bar:
        for metadata, pcm in _decoded(out, pool):
            if corpus["format"] == "flac" and clips.sha256_of(pcm) != metadata["sha256"]:
                raise PackError(f"{metadata['key']} ({metadata['package']}: {metadata['path']}) is not what was stored")
            file.write(pcm.astype("<i2").tobytes())
            clips_metadata.append(metadata)
            lengths.append(len(pcm))
            bar.update(1)
    if clips.corpus_hash(metadata["sha256"] for metadata in clips_metadata) != corpus["fingerprint"]:
        raise PackError(f"{out}: the shards are not those of corpus.json")
    return _finish(
        out,
        kinds=[metadata["kind"] for metadata in clips_metadata],
        packages=[metadata["package"] for metadata in clips_metadata],
        lengths=lengths,
        keys=[metadata["key"] for metadata in clips_metadata],
        fingerprint=corpus["fingerprint"],
        form=corpus["format"],
    )


def join(out: Path, folders: Sequence[Path]) -> Pack:
    """Joins several packs into one, in their order. A clip of two packs occurs twice."""
    packs = [Pack.open(folder) for folder in folders]
    if len({pack.format for pack in packs}) > 1:
        raise PackError("packs of FLAC and of Opus do not join: their clips are not the same recordings")
    out.mkdir(parents=True, exist_ok=True)
    (out / "pack.npz").unlink(missing_ok=True)
    with open(out / "pack.int16.tmp", "wb") as file:
        for folder in folders:
            with open(folder / "pack.int16", "rb") as source:
                shutil.copyfileobj(source, file, 1 << 24)
    return _finish(
        out,
        kinds=[pack.kinds[kind] for pack in packs for kind in pack.kind_of],
        packages=[pack.packages[package] for pack in packs for package in pack.package_of],
        lengths=np.concatenate([pack.lengths for pack in packs]),
        keys=[f"{number}-{key}" for number, pack in enumerate(packs) for key in pack.keys],
        fingerprint=clips.corpus_hash(pack.fingerprint for pack in packs),
        form=packs[0].format,
    )


def _finish(
    out: Path,
    *,
    kinds: Sequence[str],
    packages: Sequence[str],
    lengths: Sequence[int] | np.ndarray,
    keys: Sequence[str],
    fingerprint: str,
    form: str,
) -> Pack:
    """Writes the index of the samples in ``pack.int16.tmp``, one entry a clip, and puts both files in their places."""
    kind_names, kind_of = np.unique(kinds, return_inverse=True)
    package_names, package_of = np.unique(packages, return_inverse=True)
    counts = np.array(lengths, np.int64)
    with open(out / "pack.npz.tmp", "wb") as index:
        np.savez(
            index,
            offsets=np.cumsum(counts) - counts,
            lengths=counts,
            kinds=kind_names,
            kind_of=kind_of.astype(np.int32),
            packages=package_names,
            package_of=package_of.astype(np.int32),
            keys=np.array(keys),
            fingerprint=np.array(fingerprint),
            format=np.array(form),
        )
    os.replace(out / "pack.int16.tmp", out / "pack.int16")
    os.replace(out / "pack.npz.tmp", out / "pack.npz")
    return Pack.open(out)


def _decoded(out: Path, pool: ThreadPoolExecutor) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Every clip in order. Threads decode up to ``AHEAD`` clips in advance."""
    return read_ahead(pool, _pcm, shards.read(out), AHEAD)


def _pcm(clip: shards.Clip) -> tuple[dict[str, Any], np.ndarray]:
    about, data = clip
    samples, rate = soundfile.read(BytesIO(data), dtype="int16")
    assert rate == RATE, rate
    return about, samples


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--jobs", default=2, show_default=True, help="Threads that decode.")
@click.option(
    "--join",
    "folders",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Instead, make OUT of the packs of these corpora; give it once for each.",
)
def main(out: Path, jobs: int, folders: tuple[Path, ...]) -> None:
    """Decodes the shards of the corpus OUT into OUT/pack.int16 and OUT/pack.npz."""
    try:
        pack = join(out, folders) if folders else make(out, jobs)
    except PackError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(pack)} clips, {pack.hours:.2f} h, {pack.samples.nbytes / 1e6:.0f} MB, {pack.fingerprint}")


if __name__ == "__main__":
    main()
