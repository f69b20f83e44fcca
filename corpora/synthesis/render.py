"""The command that renders synthetic speech and music into a folder of FLAC files for ``corpora.corpus --from``.

    python -m corpora.synthesis.render OUT --hours 20 --seed 1
    python -m corpora.synthesis.render OUT --hours 6 --solos
    python -m corpora.synthesis.render OUT --hours 6 --words
    python -m corpora.corpus CORPUS --from OUT/manifest.csv

Every file has a seed of its own, derived from ``--seed``, its kind and its number. More hours of the same seed begin
with the same files. The command never renders an existing file again.
"""

import csv
import math
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import click
import soundfile
import torch

from hear_audioformer.files import atomic_write

from . import keys, players, solos, speakers, words
from .keys import Key
from .players import Music
from .programs import ProgramError, need
from .solos import Solo
from .speakers import Speech
from .words import Word

SAMPLE_RATE = 16000
SECONDS = {"speech": 10.0, "music": 30.0}  # of a file
PROGRAMS = {
    "speech": speakers.PROGRAMS,
    "music": players.PROGRAMS,
    "voice": ("espeak-ng",),
    "notes": players.PROGRAMS,
    "strokes": players.PROGRAMS,
    "word": words.PROGRAMS,
    "key": players.PROGRAMS,
}
LABELLED: dict[str, tuple[tuple[str, ...], Callable[[float, int], Sequence[Solo | Word | Key]]]] = {
    "solos": (solos.KINDS, solos.plan),
    "words": (("word",), words.plan),
    "keys": (("key",), keys.plan),
}  # what is rendered with labels, by option: its kinds, and a function of hours and seed
COLUMNS = ("path", "kind", "label", "seed", "voice")


@dataclass(frozen=True)
class Item:
    """A file to render."""

    kind: str
    path: str  # inside the folder
    seed: int

    def source(self, bank: Path | None) -> Speech | Music:
        """The file's content, chosen but not yet rendered."""
        if self.kind == "speech":
            return Speech(self.seed, SECONDS["speech"])
        assert bank
        return Music(self.seed, SECONDS["music"], bank)


Planned = Item | Solo | Word | Key


def plan(hours: float, seed: int, kinds: tuple[str, ...]) -> list[Item]:
    """All files of a run. The kinds have equal shares of the hours."""
    items = []
    for kind in kinds:
        for number in range(math.ceil(hours * 3600 / len(kinds) / SECONDS[kind] - 1e-6)):
            own = random.Random(f"{seed}/{kind}/{number}").getrandbits(48)
            items.append(Item(kind, f"{kind}/{seed}-{number:06d}.flac", own))
    return items


def make(item: Planned, out: Path, bank: Path | None) -> None:
    """Renders a file, whole or not at all, with a peak of -15 to -1 dB by its seed and a fade-out of 10 ms."""
    with tempfile.TemporaryDirectory() as folder:
        audio = item.source(bank).render(Path(folder), SAMPLE_RATE)
    audio = audio - audio.mean()
    peak = float(audio.abs().max())
    if peak < 1e-4:
        raise ProgramError("silence came out")
    fade = min(SAMPLE_RATE // 100, len(audio))
    audio[len(audio) - fade :] *= torch.linspace(1.0, 0.0, fade)
    level = 10 ** (random.Random(item.seed).uniform(-15.0, -1.0) / 20)
    with atomic_write(out / item.path) as temporary:
        soundfile.write(str(temporary), (audio * (level / peak)).numpy(), SAMPLE_RATE, format="FLAC", subtype="PCM_16")


def make_all(items: Sequence[Planned], out: Path, bank: Path | None, jobs: int) -> Iterator[str]:
    """Renders the files in threads. Yields an empty string after each file, or the reason why it failed."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(make, item, out, bank): item for item in items}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error and not isinstance(error, (ProgramError, OSError, ValueError)):
                    raise error
                yield f"{futures[future].path}: {error}" if error else ""
        finally:
            pool.shutdown(cancel_futures=True)


def write_manifest(items: Sequence[Planned], out: Path, bank: Path | None) -> int:
    """Writes the manifest: these items and those already listed, if their files exist. Returns the number of rows."""
    path = out / "manifest.csv"
    rows: dict[str, dict[str, str]] = {}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            rows = {row["path"]: row for row in csv.DictReader(file)}
    for item in items:
        if item.path not in rows and (out / item.path).exists():
            source = item.source(bank)
            values = (item.path, item.kind, source.label, str(item.seed), source.voice)
            rows[item.path] = dict(zip(COLUMNS, values, strict=True))
    existing = [rows[name] for name in sorted(rows) if (out / name).exists()]
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(existing)
    return len(existing)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--hours", required=True, type=click.FloatRange(min=0, min_open=True), help="Of audio in all.")
@click.option("--seed", default=0, show_default=True, help="Another one makes other files.")
@click.option("--speech", "only", flag_value="speech", help="Speech only.")
@click.option("--music", "only", flag_value="music", help="Music only.")
@click.option("--solos", "only", flag_value="solos", help="Instead, one voice, instrument or drum a file, with labels.")
@click.option("--words", "only", flag_value="words", help="Instead, one word a file, labelled by its sounds.")
@click.option("--keys", "only", flag_value="keys", help="Instead, one note a file, labelled by its key.")
@click.option(
    "--soundfont", metavar="FILE", type=click.Path(path_type=Path), help="To play through; default: opl3-soundfont."
)
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, type=click.IntRange(min=1), help="At a time.")
def main(out: Path, hours: float, seed: int, only: str | None, soundfont: Path | None, jobs: int) -> None:
    """Makes OUT: synthetic speech of many voices and random music, as 16-kHz mono FLAC, and manifest.csv.

    Speech needs espeak-ng and flite, music fluidsynth and a General MIDI bank, --solos all but flite:
    apt install espeak-ng flite fluidsynth opl3-soundfont. --words needs festival and its voices too
    (docs/labelled-set.md).

    Given again, after an interruption or with more hours, it makes what is missing.
    Exit codes: 0 all done, 1 some files failed, 2 nothing done.
    """
    labelled = LABELLED.get(only or "")
    kinds = labelled[0] if labelled else (only,) if only else tuple(SECONDS)
    try:
        need([program for kind in kinds for program in PROGRAMS[kind]])
        bank = players.find_bank(soundfont) if set(kinds) & {"music", "notes", "key"} else None
    except ProgramError as error:
        raise click.UsageError(str(error)) from error
    items: Sequence[Planned] = labelled[1](hours, seed) if labelled else plan(hours, seed, kinds)
    todo = [item for item in items if not (out / item.path).exists()]
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    failed: list[str] = []
    try:
        with click.progressbar(length=len(items), label=f"{len(items)} files", file=sys.stderr) as bar:
            bar.update(len(items) - len(todo))
            for line in make_all(todo, out, bank, jobs):
                failed += [line] * bool(line)
                bar.update(1)
    finally:
        count = write_manifest(items, out, bank)
    click.echo(f"{out / 'manifest.csv'}: {count} files")
    if failed:
        click.echo(f"{len(failed)} failed:\n  " + "\n  ".join(failed), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
