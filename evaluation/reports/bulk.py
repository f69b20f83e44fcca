"""Measures bulk embedding: kills, memory, rates. Recordings are made of noise.

    python -m evaluation.reports.bulk kills --count 50
    python -m evaluation.reports.bulk lengths --minutes 1 --minutes 120 --minutes 600
    python -m evaluation.reports.bulk rows --count 20000 --count 1000000 --model small.safetensors
    python -m evaluation.reports.bulk rates --clips 2000

``rates`` needs a machine that does nothing else. It embeds the same clips with the bare model, a process of one thread
on each core, and with ``hear-audioformer embed``; in one process of several threads; and each again while another
program keeps one core busy.
"""

import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import soundfile

from hear_audioformer.bulk.local import THREADS, cores
from hear_audioformer.bulk.parts import footer_of, parts
from hear_audioformer.bulk.summary import Summary

RATE = 16000
EMBED = [sys.executable, "-m", "hear_audioformer", "embed"]
BUSY = "import torch; torch.set_num_threads(1); a = torch.randn(512, 512)\nwhile True: a @ a"
BARE = """
import sys
import torch
from hear_audioformer import audio, load_model
torch.set_num_threads(int(sys.argv[4]))
share = sorted(__import__("pathlib").Path(sys.argv[2]).iterdir())[int(sys.argv[3]) :: int(sys.argv[5])]
model = load_model(sys.argv[1])
clips = [audio.read(path, model.sample_rate) for path in share]
model.scene(clips[:4])
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, len(clips), 24):
    model.scene(clips[start : start + 24])
print("done", flush=True)
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measures bulk embedding."""


@main.command()
@click.option("--count", default=50, show_default=True, help="Kills.")
@click.option("--files", default=2000, show_default=True)
@click.option("--model", default="", help="[default: the default model]")
@click.option("--longest", default=12.0, show_default=True, help="Seconds from a start to its kill.")
@click.option("--seed", default=0, show_default=True, help="Of the times of the kills.")
def kills(count: int, files: int, model: str, longest: float, seed: int) -> None:
    """Kills runs at random times until they end, and compares their rows with those of a run in one go."""
    chance = random.Random(seed)
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder, "in"), files, 0.5)
        command = [*EMBED, f"{folder}/in", "--model", model, "--workers", "2", "-o"]
        subprocess.run([*command, f"{folder}/once"], capture_output=True, check=True)
        while done < count:
            out = Path(folder, f"killed{done}")
            done = killed([*command, str(out)], out, chance, longest, done, count)
            click.echo(compared(out, Path(folder, "once")))


def killed(command: list[str], out: Path, chance: random.Random, longest: float, done: int, count: int) -> int:
    """Kills a run until it has ended or ``count`` kills are done, then lets it end; returns the number of kills."""
    while done < count:
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait = chance.uniform(0, longest)
        try:
            run.wait(wait)
            return done
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
        done += 1
        files = sum(len(footer_of(part).keys) for part in parts(out)) if out.exists() else 0
        click.echo(f"kill {done:2} after {wait:4.1f} s: {files} files are done")
    subprocess.run(command, capture_output=True, check=True)
    return done


def compared(one: Path, other: Path) -> str:
    """Whether two results hold the same rows, each once."""
    from pyarrow import parquet

    tables = [parquet.read_table(out) for out in (one, other)]
    doubled = sum(count > 1 for count in Counter(tables[0]["path"].to_pylist()).values())
    lost = set(tables[1]["path"].to_pylist()) - set(tables[0]["path"].to_pylist())
    same = tables[0].equals(tables[1])
    verdict = "bit for bit" if same else "NOT"
    return f"{len(tables[0])} rows: {doubled} doubled, {len(lost)} lost, {verdict} those of one go"


@main.command()
@click.option("--minutes", multiple=True, type=float, default=(1.0, 120.0, 600.0), show_default=True)
@click.option("--model", default="", help="[default: the default model]")
def lengths(minutes: tuple[float, ...], model: str) -> None:
    """Peak memory of embedding one recording, for scenes and timestamps."""
    click.echo("minutes  kind        largest process  time")
    for length in minutes:
        with tempfile.TemporaryDirectory() as folder:
            write_long(Path(folder, "long.flac"), length)
            for options in ([], ["--timestamps"]):
                begun = time.monotonic()
                peak = measured(
                    [*EMBED, f"{folder}/long.flac", "-o", f"{folder}/out{len(options)}/", "--model", model, *options]
                )
                kind = "timestamps" if options else "scene"
                click.echo(f"{length:7.0f}  {kind:10}  {peak / 2**20:10.0f} MiB  {time.monotonic() - begun:5.0f} s")


@main.command()
@click.option("--count", "counts", multiple=True, type=int, default=(20_000, 1_000_000), show_default=True)
@click.option("--model", default="", help="[default: the default model]")
def rows(counts: tuple[int, ...], model: str) -> None:
    """Peak memory and times of a table of so many rows: its run, a start that finds all done but the end, its end."""
    click.echo("rows       largest process  run       again")
    for count in counts:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            write_tar(Path(folder, "clips.tar"), count)
            command = [*EMBED, f"{folder}/clips.tar", "-o", f"{folder}/out/", "--model", model, "--dtype", "float16"]
            begun = time.monotonic()
            peak = measured(command)
            run = time.monotonic() - begun
            begun = time.monotonic()
            again = measured([*command, "--append"])
            seconds = time.monotonic() - begun
            click.echo(f"{count:9,}  {max(peak, again) / 2**20:10.0f} MiB  {run:6.0f} s  {seconds:6.1f} s")


@main.command()
@click.option("--clips", default=2000, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--model", default="", help="[default: the default model]")
@click.option("--rounds", default=2, show_default=True, help="The best counts.")
def rates(clips: int, seconds: float, model: str, rounds: int) -> None:
    """Clips a second: the bare model and the command, processes and threads, a quiet machine and a busy one."""
    many = cores()
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder, "in"), clips, seconds)
        ways: dict[str, Callable[[], float]] = {
            f"bare model, {many} processes of 1 thread": lambda: bare(model, folder, many, 1),
            f"embed, {many} workers": lambda: embedded(model, folder, many, 1),
            "bare model, 1 process of 1 thread": lambda: bare(model, folder, 1, 1),
            "embed, 1 worker": lambda: embedded(model, folder, 1, 1),
            f"bare model, 1 process of {many} threads": lambda: bare(model, folder, 1, many),
        }
        for name, busy in (("quiet", 0), ("one core busy", 1)):
            with neighbours(busy):
                best = {way: min(run() for _ in range(rounds)) for way, run in ways.items()}
            for way, taken in best.items():
                click.echo(f"{name:14}  {way:36}  {clips / taken:7.1f} clips/s")


def bare(model: str, folder: str, processes: int, threads: int) -> float:
    """Seconds for the model alone, on waveforms in memory, 24 clips a call."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    command = [sys.executable, "-c", BARE, model, f"{folder}/in"]
    runs = [
        subprocess.Popen(
            [*command, str(number), str(threads), str(processes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        for number in range(processes)
    ]  # fmt: skip
    for run in runs:
        assert run.stdout
        run.stdout.readline()
    begun = time.monotonic()
    for run in runs:
        assert run.stdin
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        run.wait()
    return time.monotonic() - begun


def embedded(model: str, folder: str, workers: int, threads: int) -> float:
    """Seconds for all of a run but the start of its first worker."""
    from hear_audioformer.bulk import run as runs
    from hear_audioformer.bulk.run import Engine

    begun = 0.0
    facts = runs.LocalEngine.facts

    def clocked(engine: Engine) -> dict[str, object]:
        nonlocal begun
        known = facts(engine)  # type: ignore[arg-type]
        begun = time.monotonic()
        return known

    runs.LocalEngine.facts = clocked  # type: ignore[method-assign,assignment]
    try:
        with tempfile.TemporaryDirectory() as out:
            summary: Summary = runs.embed_files(
                f"{folder}/in", f"{out}/out", model, workers=workers, threads=threads, progress=False
            )
            assert not summary.missing
    finally:
        runs.LocalEngine.facts = facts  # type: ignore[method-assign]
    return time.monotonic() - begun


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Programs that keep so many cores busy."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    programs = [subprocess.Popen([sys.executable, "-c", BUSY], env=environment) for _ in range(count)]
    try:
        time.sleep(5 * count)
        yield
    finally:
        for program in programs:
            program.kill()


def measured(command: list[str]) -> int:
    """Runs a command; the peak memory in bytes of its largest process."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    return int(run.stdout)


def write_clips(folder: Path, count: int, seconds: float) -> None:
    """Noises as FLAC."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        samples = 0.1 * generator.standard_normal(round(seconds * RATE))
        soundfile.write(folder / f"{number:06}.flac", samples, RATE)


def write_long(path: Path, minutes: float) -> None:
    """Noise of any length as FLAC."""
    block = (0.1 * np.random.default_rng(0).standard_normal(60 * RATE)).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(round(minutes)):
            file.write(block)


def write_tar(path: Path, count: int) -> None:
    """Clips of 10 ms in a tar file."""
    clip = io.BytesIO()
    soundfile.write(clip, 0.1 * np.random.default_rng(0).standard_normal(160), RATE, format="WAV")
    with tarfile.open(path, "w") as file:
        for number in range(count):
            member = tarfile.TarInfo(f"{number // 1000:04}/{number:08}.wav")
            member.size = len(clip.getvalue())
            file.addfile(member, io.BytesIO(clip.getvalue()))


if __name__ == "__main__":
    main()
