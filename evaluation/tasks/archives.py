"""Converts HEAR's public archives to task folders at the sample rates of models.

The free archives (hear2021-<task>-48000.tar.gz, https://zenodo.org/records/6332517) hold only 48-kHz audio, and the kit
reads only the model's own rate. The converter reads an archive once, file by file. A task appears in the tasks' folder
once it is written and checked, so every task there is complete. An interrupted conversion resumes.
"""

import gzip
import json
import os
import shutil
import tarfile
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import click
import soundfile
import torch

from hear_audioformer import audio

from ..kit.clips import SOURCE, clip_fault, source_fault, write
from ..kit.environment import KitError, locked
from ..kit.results import PUBLISHED
from ..kit.runs import TABLES

PREFIX, SUFFIX = "hear2021-", "-48000.tar.gz"
RATES = (16000, 22050, 32000, 44100, 48000)  # HEAR's
SHOWN = 5  # faults of a task


@dataclass
class Conversion:
    """The conversion of one task: its temporary folder, its rates, and the faults found so far."""

    task: str
    folder: Path
    rates: tuple[int, ...]
    clips: int = 0
    faults: list[str] = field(default_factory=list)

    def path(self, rate: int, split: str, name: str) -> Path:
        return self.folder / str(rate) / split / name


def parse_rates(text: str) -> tuple[int, ...]:
    """ "16000,32000" -> (16000, 32000)."""
    rates = tuple(int(part) for part in text.split(",") if part.strip().isdecimal())
    if not rates or any(rate not in RATES for rate in rates) or len(rates) != len(text.split(",")):
        raise KitError(f"--rates takes some of {', '.join(map(str, RATES))}, separated by commas, not {text!r}")
    return rates


def prepare(archives: Path, tasks: Path, rates: Sequence[int]) -> list[str]:
    """Converts every archive of a folder that is not converted yet. Returns the tasks that failed."""
    paths = sorted(archives.glob(f"{PREFIX}*{SUFFIX}"))
    if not paths:
        raise KitError(f"{archives} holds no {PREFIX}*{SUFFIX}; get them from https://zenodo.org/records/6332517")
    tasks = tasks.absolute()
    tasks.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # each file has a thread
    failed = []
    with locked(tasks.parent / f".{tasks.name}.lock"):
        for archive in paths:
            task = archive.name.removeprefix(PREFIX).removesuffix(SUFFIX)
            missing = tuple(rate for rate in rates if not (tasks / task / str(rate)).is_dir())
            started = time.monotonic()
            click.echo(f"{task}: ", nl=False)
            if not missing:
                click.echo("kept")
                continue
            conversion = prepare_archive(archive, tasks, task, missing)
            if conversion.faults:
                failed.append(task)
                more = [f"and {len(conversion.faults) - SHOWN} more"] if len(conversion.faults) > SHOWN else []
                click.echo("\n  ".join(["failed", *conversion.faults[:SHOWN], *more]))
            else:
                at = ", ".join(map(str, missing))
                seconds = time.monotonic() - started
                click.echo(f"{conversion.clips} clips{_count_remark(conversion)} at {at} Hz, checked, {seconds:.0f} s")
    return failed


def _count_remark(conversion: Conversion) -> str:
    """A remark if HEAR's page gives another number of clips."""
    expected = json.loads(PUBLISHED.read_text())["tasks"].get(conversion.task, {}).get("clips", conversion.clips)
    return "" if expected == conversion.clips else f" (HEAR's page says {expected})"


def prepare_archive(archive: Path, tasks: Path, task: str, rates: tuple[int, ...]) -> Conversion:
    """Converts an archive and installs the task if it has no faults."""
    # beside the tasks' folder, since HEAR's kit treats every entry inside it as a task
    conversion = Conversion(task, tasks.parent / f".{tasks.name}-{task}.part", rates)
    incoming = conversion.folder / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    try:
        _convert_all(archive, conversion, incoming)
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        conversion.faults.append(f"{archive} is damaged or incomplete ({error}): download it again")
    if not conversion.faults:
        _check(conversion)
    if not conversion.faults:
        _install(conversion, tasks / task)
    return conversion


def _convert_all(archive: Path, conversion: Conversion, incoming: Path) -> None:
    """Copies tables and converts audio to every rate. Unpacks only a few files at a time."""
    workers = os.cpu_count() or 1
    waiting: list[Future[None]] = []
    with ThreadPoolExecutor(workers) as pool, gzip.open(archive) as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as tar:
            for member, parts in _members(tar, conversion.task):
                stream = tar.extractfile(member)
                assert stream is not None  # of a regular file
                if len(parts) == 1:
                    (conversion.folder / parts[0]).write_bytes(stream.read())
                elif len(parts) == 3 and parts[0] == str(SOURCE) and not _done(conversion, *parts[1:]):
                    temporary = incoming / f"{member.offset}.wav"
                    with open(temporary, "wb") as file:
                        shutil.copyfileobj(stream, file)
                    waiting.append(pool.submit(_convert, conversion, temporary, *parts[1:]))
                while len(waiting) > 2 * workers:
                    waiting.pop(0).result()
        while unpacked.read(1 << 20):  # to the end, where gzip verifies its checksum
            pass
        for future in waiting:
            future.result()


def _members(tar: tarfile.TarFile, task: str) -> Iterator[tuple[tarfile.TarInfo, tuple[str, ...]]]:
    """The files of a task, with their paths relative to its folder at any depth of the archive."""
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if member.isfile() and task in parts and ".." not in parts:
            yield member, parts[parts.index(task) + 1 :]


def _done(conversion: Conversion, split: str, name: str) -> bool:
    return all(conversion.path(rate, split, name).is_file() for rate in conversion.rates)


def _convert(conversion: Conversion, source: Path, split: str, name: str) -> None:
    """Converts one file to every rate."""
    try:
        if fault := source_fault(source):
            conversion.faults.append(f"{split}/{name} {fault}")
            return
        for rate in conversion.rates:
            pcm = audio.read(source, rate).mul(32768).round().clamp(-32768, 32767).short().numpy()
            write(conversion.path(rate, split, name), pcm, rate)
    except (audio.AudioError, soundfile.LibsndfileError) as error:
        conversion.faults.append(f"{split}/{name} cannot be read: {error}")
    finally:
        source.unlink()


def _check(conversion: Conversion) -> None:
    """Checks every listed clip at every rate. Makes clip lengths equal within a task, as the kit requires."""
    try:
        metadata = json.loads((conversion.folder / TABLES[0]).read_text())
        splits = {split: json.loads((conversion.folder / f"{split}.json").read_text()) for split in metadata["splits"]}
    except (OSError, ValueError, KeyError) as error:
        conversion.faults.append(f"its tables are missing or damaged ({error!r}): download the archive again")
        return
    conversion.clips = sum(map(len, splits.values()))
    seconds = metadata["sample_duration"]
    for split, names in splits.items():
        for name in names:
            for rate in conversion.rates:
                if fault := clip_fault(conversion.path(rate, split, name), rate, seconds):
                    conversion.faults.append(f"{split}/{name} at {rate} Hz {fault}")


def _install(conversion: Conversion, target: Path) -> None:
    """Moves a whole task into place, or further rates of an existing task, each in one step."""
    for entry in conversion.folder.iterdir():
        if entry.is_dir() and entry.name not in map(
            str, conversion.rates
        ):  # or a rate that an earlier call left unfinished
            shutil.rmtree(entry)
    if not target.exists():
        conversion.folder.replace(target)
        return
    for rate in conversion.rates:
        (conversion.folder / str(rate)).replace(target / str(rate))
    shutil.rmtree(conversion.folder)
