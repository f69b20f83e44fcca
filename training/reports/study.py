r"""A design study: the same recipe with one thing changed a row, each scored on the same tasks, in one table.

    python -m training.reports.study training/reports/studies/msm-mae.yaml OUT \
        --corpus data/open --tasks dev-suite/tasks

Every row is a run of ``training.pretrain``, an export and a probe under OUT, which the same command takes up where it
was stopped. The page states the command of each row.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from evaluation import probe
from evaluation.scoring.bootstrap import Interval
from evaluation.scoring.embeddings import Model
from hear_audioformer import weights

from .. import logs
from ..flops import flops_per_crop
from ..pretrain import build
from ..recipe import read_recipe
from ..sections import Where, parse


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study's file says.

    Attributes:
        recipe: what every row changes.
        until: the step that rows stop after.
        page: where the table is written.
        pool, also: ways of pooling; the first is exported.
        changes: those that all rows have.
        rows: changes by title.
        reading: what the table shows, in words.
    """

    recipe: str
    until: int
    page: str
    pool: str
    also: Sequence[str] = ()
    changes: Sequence[str] = ()
    rows: Mapping[str, Sequence[str]]
    reading: str = ""

    @classmethod
    def read(cls, path: Path) -> "Study":
        """From a file."""
        return parse(cls, yaml.safe_load(path.read_text()), Where(path.name))


@dataclass(frozen=True)
class Row:
    """One line of a study: what is changed, and the folder of its run."""

    title: str
    changes: list[str]
    folder: Path

    def command(self, recipe: str, until: int, corpus: str, run: str) -> list[str]:
        """The training run, as anyone can type it."""
        return ["training.pretrain", recipe, run, f"data.corpus={corpus}", *self.changes, "--until", str(until)]


def rows_of(study: Study, out: Path) -> list[Row]:
    """The rows of a study, each with the changes that all have; a run's folder is named after its title."""
    names = {title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in study.rows}
    if len(set(names.values())) < len(names):
        raise click.UsageError("two rows have the same name but for signs; rename one")
    shared = study.changes
    return [Row(title, [*shared, *changes], out / names[title]) for title, changes in study.rows.items()]


def score(row: Row, study: Study, corpus: Path, suite: Path) -> list[Path]:
    """Trains, exports and probes one row, as far as that is not done yet; returns its files of results, one a pool."""
    run, exported = row.folder / "run", row.folder / "weights"
    python = [sys.executable, "-m"]
    subprocess.run([*python, *row.command(study.recipe, study.until, str(corpus), str(run))], check=True)
    options = ["--pool", study.pool, "--licence", "study", "--hardware", "study", "--out", str(exported)]
    subprocess.run([*python, "training.export", str(run), "model", *options], check=True, stdout=subprocess.DEVNULL)
    module = weights.METHODS[read_recipe(study.recipe).method]
    files = []
    ways: list[dict[str, Any]] = [{}, *({"pool": pool} for pool in study.also)]
    for way in ways:
        model = Model(f"hear_audioformer.{module}", str(exported / "model.safetensors"), way)
        files.append(probe.run(suite, model, row.folder / "results"))
    return files


def page(study: Study, rows: list[tuple[Row, list[dict[str, Any]]]]) -> str:
    """The study as Markdown: a line a row, a column a task, the commands below."""
    tasks = sorted({task for _, results in rows for task in results[0]["tasks"]})
    recipe = read_recipe(study.recipe)
    head = ["row", "mean", *(f"mean, {pool}" for pool in study.also)]
    lines = [
        f"# Design study: {recipe.method} on the open corpus",
        "",
        f"Made by `python -m training.reports.study`; every row stops after {study.until} steps of "
        f"{recipe.loop.batch} crops of the schedule of `{study.recipe}` (seed {recipe.seed}). Scores of a "
        f"linear head on frozen embeddings (pooling {study.pool}) of the development tasks, in %; the mean with its "
        "95 % interval over test groups. One seed a row: differences within the intervals decide nothing. GFLOP is the "
        "work of one crop's forward pass; losses of rows that are asked for different things do not compare.",
        "",
        f"| {' | '.join([*head, 'GFLOP', 'loss', *(task.removeprefix('dev_') for task in tasks)])} |",
        f"|{'---|' * (len(head) + 2 + len(tasks))}",
    ]
    for row, results in rows:
        intervals = _intervals(results[0])
        means = " | ".join(_mean(_intervals(result)) for result in results)
        cost = flops_per_crop(build(read_recipe(study.recipe, row.changes))) / 1e9
        loss = logs.read(row.folder / "run" / "log.jsonl")[-1]["loss"]
        cells = " | ".join(f"{100 * intervals[task].value:.1f}" if task in intervals else "-" for task in tasks)
        lines.append(f"| {row.title} | {means} | {cost:.2f} | {loss:.3f} | {cells} |")
    if study.reading:
        lines += ["", study.reading.strip()]
    lines += ["", "The training runs (`training.reports.study` adds export and probe):", "", "```bash"]
    for row, _ in rows:
        command = row.command(study.recipe, study.until, "data/open", f"runs/{row.folder.name}")
        lines.append(shlex.join(["python", "-m", *command]))
    return "\n".join([*lines, "```", ""])


def _intervals(result: dict[str, Any]) -> dict[str, Interval]:
    return {name: Interval(**{key: entry[key] for key in KEYS}) for name, entry in result["tasks"].items()}


def _mean(intervals: dict[str, Interval]) -> str:
    mean = Interval.mean(list(intervals.values()))
    return f"{100 * mean.value:.1f} ({100 * mean.low:.1f} to {100 * mean.high:.1f})"


KEYS = ("value", "low", "high", "error", "degrees")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="STUDY", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--corpus", required=True, type=click.Path(exists=True, path_type=Path), help="A packed corpus: corpora.pack."
)
@click.option(
    "--tasks",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Development tasks: evaluation.suites.dev.",
)
def main(source: Path, out: Path, corpus: Path, tasks: Path) -> None:
    """Runs the rows of STUDY under OUT and writes its page.

    STUDY is a YAML file: `recipe`, `until` (steps of a row), `changes` (of every row), `pool`, `page` (the file that is
    written, and replaced), `rows` (title: its changes) and `reading` (the text below the table). Each row is a
    training.pretrain run, an export and a probe. The 500 steps of the example are a tenth of the run that took 1.1
    hours of two cores. The same command goes on after a stop.

    \b
    Example:
      python -m training.reports.study training/reports/studies/msm-mae.yaml runs/study \\
          --corpus data/open --tasks data/dev-suite/tasks
    """
    study = Study.read(source)
    done = []
    for row in rows_of(study, out):
        click.echo(f"\n{row.title}")
        done.append((row, [json.loads(file.read_text()) for file in score(row, study, corpus, tasks)]))
        Path(study.page).write_text(page(study, done))
    click.echo(f"-> {study.page}")


if __name__ == "__main__":
    main()
