"""Runs recipes one after another until the time is over, and goes on from there the next time.

    python -m training.run_queue training/queues/gpu.yaml runs/gpu --corpus data/open --minutes 9
    python -m training.run_queue training/queues/gpu.yaml runs/gpu --corpus data/gpu --pieces pieces/ --minutes 9
    python -m training.run_queue training/queues/gpu.yaml runs/try --corpus data/open --minutes 60 --rehearse 20

A queue is a YAML file: ``rows``, each a recipe with changes. A row with ``minutes`` trains at the constant rate of the
schedule wsd for so long, all calls together, and then cools down; a row without runs its recipe's steps. Each row ends
as a weight file in OUT/weights; a later row may start from it by ``init=NAME``. The machine may be taken away at any
time: a call loses what came after the last checkpoint. ``--rehearse`` runs every row for a few steps on any machine.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from corpora import pack, pieces
from hear_audioformer.files import write_text

from . import checkpoints
from .recipe import read_recipe
from .sections import Where, parse

START = 0.5  # minutes that a process takes before its first step
AGAIN = 75  # exit code: time is over, the same command goes on
REHEARSAL = ("loop.batch=4", "loop.warmup=1", "loop.compile=false", "precision=32-true")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of a queue.

    Attributes:
        recipe: its name or file.
        changes: of single entries.
        minutes: at the constant rate, for the schedule wsd; without, the recipe's steps are run.
        cooldown: steps that go down to the lowest rate, as a share of those before.
        pool: of the exported model; the recipe's if empty.
    """

    recipe: str
    changes: tuple[str, ...] = ()
    minutes: float | None = None
    cooldown: float = 0.2
    pool: str = ""

    def __post_init__(self) -> None:
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes={self.minutes}: a row trains for some time, or its recipe's steps without it")
        if self.cooldown <= 0:
            raise ValueError(f"cooldown={self.cooldown}: a model is a run that has cooled down")


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What a queue's file says: rows by the name of their model."""

    rows: Mapping[str, Row]


class OverError(Exception):
    """The time is over."""


class Clock:
    """What is left of a call's minutes."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Minutes, less the start of a process."""
        return (self.end - time.monotonic()) / 60 - START

    def spend(self, command: list[str]) -> float:
        """Runs a module of Python within the time that is left; minutes that it took."""
        if self.left <= 0:
            raise OverError
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", *command], check=True)
        return (time.monotonic() - began) / 60


def read(path: Path) -> Queue:
    """A queue from its file; every recipe is read, so that a wrong key is found before the first step."""
    queue = parse(Queue, yaml.safe_load(path.read_text()), Where(path.name))
    for name, row in queue.rows.items():
        recipe = read_recipe(row.recipe, row.changes)
        if row.minutes is not None and recipe.loop.schedule != "wsd":
            raise click.UsageError(
                f"{path.name}: {name}: minutes need loop.schedule=wsd, and it is {recipe.loop.schedule}"
            )
    return queue


def train(name: str, row: Row, out: Path, data: list[str], clock: Clock) -> Path:
    """Goes on with a row until it is trained; the folder of the run that its model comes from."""
    run, notes = out / name / "run", out / name / "spent.json"
    command = ["training.pretrain", row.recipe, str(run), *data, *_changes(row, out)]
    if row.minutes is None:
        clock.spend([*command, "--minutes", f"{clock.left:.3f}"])
        if _step(run) < read_recipe(row.recipe, row.changes).loop.steps:
            raise OverError
        return run
    spent = json.loads(notes.read_text())["minutes"] if notes.exists() else 0.0
    if spent < row.minutes:
        spent += clock.spend([*command, "--minutes", f"{min(clock.left, row.minutes - spent):.3f}"])
        write_text(notes, json.dumps({"minutes": spent, "step": _step(run)}))
        if spent < row.minutes:
            raise OverError
    cooled, done = out / name / "cooled", _step(run)
    steps = max(1, round(row.cooldown * done))
    command[2] = str(cooled)
    command += [f"loop.steps={done + steps}", f"loop.cooldown={steps}", "--branch", str(checkpoints.latest(run))]
    clock.spend([*command, "--minutes", f"{clock.left:.3f}"])
    if _step(cooled) < done + steps:
        raise OverError
    return cooled


def rehearsed(name: str, row: Row, out: Path, data: list[str], clock: Clock, steps: int) -> Path:
    """A row for a few steps of small batches, the last fifth of them down where the schedule is wsd; its run."""
    run, cooldown = out / name / "rehearsal", max(1, steps // 5)
    wsd = read_recipe(row.recipe, row.changes).loop.schedule == "wsd"
    told = [*REHEARSAL, f"loop.steps={steps}", *([f"loop.cooldown={cooldown}"] if wsd else [])]
    clock.spend(["training.pretrain", row.recipe, str(run), *data, *_changes(row, out), *told])
    return run


def _changes(row: Row, out: Path) -> list[str]:
    """The changes of a row; a model that an earlier row made is named by its file."""
    made = {f"init={file.stem}": f"init={file}" for file in (out / "weights").glob("*.safetensors")}
    return [made.get(change, change) for change in row.changes]


def _step(run: Path) -> int:
    newest = checkpoints.latest(run)
    return checkpoints.facts(newest)[1] if newest else 0


def corpus_of(folder: Path, parts: Path | None) -> None:
    """Unpacks a corpus that came in pieces, once."""
    if parts and not (folder / "manifest.csv").exists():
        pieces.unpack([parts], folder)
    if not (folder / "pack.npz").exists():
        pack.make(folder)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("queue", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), required=True, help="Of this call.")
@click.option("--corpus", type=click.Path(path_type=Path), help="data.corpus of rows that read one.")
@click.option("--pieces", "parts", type=click.Path(exists=True, path_type=Path), help="Make the corpus of these, once.")
@click.option("--labelled", type=click.Path(exists=True, path_type=Path), help="data.labelled of rows that read one.")
@click.option("--rehearse", metavar="STEPS", type=click.IntRange(min=2), help="Each row for a few small steps only.")
@click.option("--licence", default="Apache-2.0", show_default=True, help="Of the weights.")
@click.option("--hardware", default="", help="For the provenance.  [default: the device's name]")
def main(
    queue: Path, out: Path, minutes: float, corpus: Path | None, parts: Path | None, labelled: Path | None,
    rehearse: int | None, licence: str, hardware: str,
) -> None:  # fmt: skip
    """Trains the rows of QUEUE under OUT for some minutes. Exit code 75: give the same command again."""
    clock = Clock(minutes)
    rows = read(queue).rows
    if corpus:
        corpus_of(corpus, parts)
    try:
        for name, row in rows.items():
            if (out / "weights" / f"{name}.safetensors").exists():
                continue
            data = _data(row, corpus, labelled)
            run = rehearsed(name, row, out, data, clock, rehearse) if rehearse else train(name, row, out, data, clock)
            options = ["--out", str(out / "weights"), "--licence", licence, "--hardware", hardware or _device()]
            options += ["--pool", row.pool] if row.pool else []
            subprocess.run([sys.executable, "-m", "training.export", str(run), name, *options], check=True)
    except OverError:
        steps = {name: max(_step(out / name / part) for part in ("run", "cooled")) for name in rows}
        click.echo(f"the time is over: {', '.join(f'{name} {step} steps' for name, step in steps.items())}")
        raise SystemExit(AGAIN) from None
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"stopped by `python -m {' '.join(error.cmd[2:])}`, whose error is above") from error
    click.echo(f"all rows are done -> {out / 'weights'}")


def _data(row: Row, corpus: Path | None, labelled: Path | None) -> list[str]:
    reads_labels = "labelled" in read_recipe(row.recipe).raw.get("data", {})
    key, folder = ("labelled", labelled) if reads_labels else ("corpus", corpus)
    if folder is None:
        raise click.UsageError(f"{row.recipe} needs --{key} FOLDER")
    return [f"data.{key}={folder}"]


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


if __name__ == "__main__":
    main()
