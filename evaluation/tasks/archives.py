"""HEAR's public archives -> task folders at the rates of models.

The free archives (hear2021-<task>-48000.tar.gz, https://zenodo.org/records/6332517) hold 48-kHz audio only, and the
kit reads no other rate than the model's. An archive is read once, file by file; a task appears in the tasks' folder
when all of it is written and checked, so that what is there is whole. An interrupted task goes on where it was.
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
from ..kit.environment import KitError, alone
from ..kit.results import PUBLISHED
from ..kit.runs import TABLES

PREFIX, SUFFIX = "hear2021-", "-48000.tar.gz"
RATES = (16000, 22050, 32000, 44100, 48000)  # HEAR's
SHOWN = 5  # faults of a task


@dataclass
class Work:
    """A task on its way: the folder where it grows, and what was found wrong."""

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
    """Prepares every archive of a folder that is not prepared yet; the tasks that failed."""
    found = sorted(archives.glob(f"{PREFIX}*{SUFFIX}"))
    if not found:
        raise KitError(f"{archives} holds no {PREFIX}*{SUFFIX}; get them from https://zenodo.org/records/6332517")
    tasks = tasks.absolute()
    tasks.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # a thread a file
    failed = []
    with alone(tasks.parent / f".{tasks.name}.lock"):
        for archive in found:
            task = archive.name.removeprefix(PREFIX).removesuffix(SUFFIX)
            missing = tuple(rate for rate in rates if not (tasks / task / str(rate)).is_dir())
            began = time.monotonic()
            click.echo(f"{task}: ", nl=False)
            if not missing:
                click.echo("kept")
                continue
            work = prepare_archive(archive, tasks, task, missing)
            if work.faults:
                failed.append(task)
                more = [f"and {len(work.faults) - SHOWN} more"] if len(work.faults) > SHOWN else []
                click.echo("\n  ".join(["failed", *work.faults[:SHOWN], *more]))
            else:
                at = ", ".join(map(str, missing))
                took = time.monotonic() - began
                click.echo(f"{work.clips} clips{_counted(work)} at {at} Hz, checked, {took:.0f} s")
    return failed


def _counted(work: Work) -> str:
    """A remark where HEAR's page counts otherwise."""
    expected = json.loads(PUBLISHED.read_text())["tasks"].get(work.task, {}).get("clips", work.clips)
    return "" if expected == work.clips else f" (HEAR's page says {expected})"


def prepare_archive(archive: Path, tasks: Path, task: str, rates: tuple[int, ...]) -> Work:
    """Converts an archive and moves the task into place, if nothing is wrong with it."""
    # beside the tasks' folder: HEAR's kit takes every entry inside it for a task
    work = Work(task, tasks.parent / f".{tasks.name}-{task}.part", rates)
    incoming = work.folder / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    try:
        _convert_all(archive, work, incoming)
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        work.faults.append(f"{archive} is damaged or incomplete ({error}): download it again")
    if not work.faults:
        _check(work)
    if not work.faults:
        _place(work, tasks / task)
    return work


def _convert_all(archive: Path, work: Work, incoming: Path) -> None:
    """Tables as they are, audio at every rate; only a few files wait unpacked at a time."""
    workers = os.cpu_count() or 1
    waiting: list[Future[None]] = []
    with ThreadPoolExecutor(workers) as pool, gzip.open(archive) as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as tar:
            for member, parts in _members(tar, work.task):
                stream = tar.extractfile(member)
                assert stream is not None  # of a regular file
                if len(parts) == 1:
                    (work.folder / parts[0]).write_bytes(stream.read())
                elif len(parts) == 3 and parts[0] == str(SOURCE) and not _done(work, *parts[1:]):
                    temporary = incoming / f"{member.offset}.wav"
                    with open(temporary, "wb") as file:
                        shutil.copyfileobj(stream, file)
                    waiting.append(pool.submit(_convert, work, temporary, *parts[1:]))
                while len(waiting) > 2 * workers:
                    waiting.pop(0).result()
        while unpacked.read(1 << 20):  # to the very end, where gzip compares its sum of all bytes
            pass
        for one in waiting:
            one.result()


def _members(tar: tarfile.TarFile, task: str) -> Iterator[tuple[tarfile.TarInfo, tuple[str, ...]]]:
    """Files of a task with their place below its folder, however deep in the archive that is."""
    for member in tar:
        parts = PurePosixPath(member.name).parts
        if member.isfile() and task in parts and ".." not in parts:
            yield member, parts[parts.index(task) + 1 :]


def _done(work: Work, split: str, name: str) -> bool:
    return all(work.path(rate, split, name).is_file() for rate in work.rates)


def _convert(work: Work, source: Path, split: str, name: str) -> None:
    """One file at every rate."""
    try:
        if fault := source_fault(source):
            work.faults.append(f"{split}/{name} {fault}")
            return
        for rate in work.rates:
            pcm = audio.read(source, rate).mul(32768).round().clamp(-32768, 32767).short().numpy()
            write(work.path(rate, split, name), pcm, rate)
    except (audio.AudioError, soundfile.LibsndfileError) as error:
        work.faults.append(f"{split}/{name} cannot be read: {error}")
    finally:
        source.unlink()


def _check(work: Work) -> None:
    """Every clip that a table names, at every rate; the lengths within a task are made equal, as the kit demands."""
    try:
        metadata = json.loads((work.folder / TABLES[0]).read_text())
        splits = {split: json.loads((work.folder / f"{split}.json").read_text()) for split in metadata["splits"]}
    except (OSError, ValueError, KeyError) as error:
        work.faults.append(f"its tables are missing or damaged ({error!r}): download the archive again")
        return
    work.clips = sum(map(len, splits.values()))
    seconds = metadata["sample_duration"]
    for split, names in splits.items():
        for name in names:
            for rate in work.rates:
                if fault := clip_fault(work.path(rate, split, name), rate, seconds):
                    work.faults.append(f"{split}/{name} at {rate} Hz {fault}")


def _place(work: Work, target: Path) -> None:
    """A whole task, or further rates of a task that is there, each in one step."""
    for entry in work.folder.iterdir():
        if entry.is_dir() and entry.name not in map(str, work.rates):  # nor a rate that an earlier call left unfinished
            shutil.rmtree(entry)
    if not target.exists():
        work.folder.replace(target)
        return
    for rate in work.rates:
        (work.folder / str(rate)).replace(target / str(rate))
    shutil.rmtree(work.folder)
