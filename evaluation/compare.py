"""Results side by side: read from files, compared by the same draws, task by task.

    python -m evaluation.compare runs/pretrained/result.json runs/scratch/result.json

prints what the first has over the second on each task of both, whether of ``evaluation.probe`` or of fine-tuning.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from .bootstrap import Draws, Interval, draw
from .records import FORMAT
from .scores import folded

BASELINES = "evaluation.baselines."


class ResultsError(ValueError):
    """Results that cannot be put side by side; the message says why and what to do."""


@dataclass(frozen=True)
class Result:
    """One file: a model on a suite."""

    told: dict[str, Any]

    @property
    def suite(self) -> str:
        return str(self.told["suite"])

    @property
    def is_baseline(self) -> bool:
        return str(self.told["module"]).startswith(BASELINES)

    @property
    def label(self) -> str:
        """What a table calls it: the model's name; of baselines and others' modules the module's as well."""
        module, name = str(self.told["module"]), str(self.told["name"])
        parts = [] if module.split(".")[0] == "hear_audioformer" else [module.removeprefix(BASELINES)]
        parts += [name] if name != "default" or not parts else []
        return " ".join([*parts, *(["(MLP)"] if self.told["head"] == "mlp" else [])])

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        return dict(self.told["tasks"])

    def interval(self, task: str) -> Interval:
        """A task's score; bounds may lie beyond 0 and 1, as an error is worth the same on both sides."""
        line = self.tasks[task]
        return Interval.of(line["value"], line["error"], line["degrees"])

    def mean(self, tasks: Iterable[str]) -> Interval:
        return Interval.mean([self.interval(task) for task in tasks])

    def mean_of_other(self, name: str, tasks: Iterable[str]) -> float | None:
        """The mean of another predictor, such as "knn", over the tasks that have one."""
        others = [self.tasks[task]["others"] for task in tasks]
        values = [other[name]["value"] for other in others if name in other]
        return sum(values) / len(values) if values else None


def read(folder: Path) -> list[Result]:
    """All results below a folder, baselines last."""
    results = [read_file(file) for file in sorted(folder.glob("*/*/*.json"))]
    if not results:
        raise ResultsError(f"{folder} holds no results; `python -m evaluation.probe ... --out {folder}` makes them")
    return sorted(results, key=lambda result: (result.is_baseline, result.label))


def read_file(file: Path) -> Result:
    """One file of results."""
    try:
        told = json.loads(file.read_text())
    except ValueError as error:
        raise ResultsError(f"{file} is no file of results: {error}") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        found = told.get("format") if isinstance(told, dict) else None
        raise ResultsError(f"{file} has format {found}, this version reads {FORMAT}: run it again")
    return Result(told)


def difference(one: Result, other: Result, task: str) -> Interval:
    """The first's score less the second's, by draws of the same groups."""
    a, b = one.tasks[task], other.tasks[task]
    true = "real" if "real" in a["columns"] else "truth"
    if any(a[key] != b[key] for key in ("folds", "groups", "score")) or a["columns"][true] != b["columns"][true]:
        raise ResultsError(
            f"{task}: {one.label} and {other.label} were scored on different test clips; run the older one again"
        )
    draws = draw(task, np.array(a["folds"]), np.array(a["groups"]))
    return Interval.drawn(a["value"] - b["value"], _scores(a, draws) - _scores(b, draws), draws)


@dataclass(frozen=True)
class Tally:
    """Tasks on which a model is better or worse than another beyond the interval of their difference."""

    wins: int
    losses: int
    ties: int


def tally(one: Result, other: Result) -> Tally:
    """Over the tasks that both have."""
    differences = [difference(one, other, task) for task in one.tasks if task in other.tasks]
    wins = sum(d.low > 0 for d in differences)
    losses = sum(d.high < 0 for d in differences)
    return Tally(wins, losses, len(differences) - wins - losses)


def damaged(clean: Result, perturbed: Result) -> dict[str, float]:
    """Scores under a perturbation by the task's clean name, of those tasks that were perturbed.

    A perturbed task is named after its origin, ``<task>_...``; the rounds of a task of k folds are averaged.
    """
    found = {}
    for task in clean.tasks:
        rivals = [name for name in clean.tasks if name.startswith(f"{task}_")]
        mine = [
            other["value"]
            for name, other in perturbed.tasks.items()
            if name.startswith(f"{task}_") and not any(name.startswith(f"{rival}_") for rival in rivals)
        ]
        if mine:
            found[task] = sum(mine) / len(mine)
    return found


def drop(clean: Result, perturbed: Result, tasks: Sequence[str]) -> float | None:
    """What a perturbation costs: the mean over tasks of the clean score less the perturbed one, if all are there."""
    values = damaged(clean, perturbed)
    if not all(task in values for task in tasks):
        return None
    return sum(clean.tasks[task]["value"] - values[task] for task in tasks) / len(tasks)


def _scores(line: dict[str, Any], draws: Draws) -> np.ndarray:
    columns = {name: np.array(column) for name, column in line["columns"].items()}
    return folded(line["score"], columns, np.array(line["folds"]), draws.weights)


@click.command()
@click.argument("one", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("other", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(one: Path, other: Path) -> None:
    """What the results in ONE have over those in OTHER, in per cent with 95 % intervals of the same draws."""
    try:
        first, second = read_file(one), read_file(other)
        tasks = [task for task in first.tasks if task in second.tasks]
        if not tasks:
            raise ResultsError(f"{one} and {other} have no task in common")
        gains = [difference(first, second, task) for task in tasks]
    except ResultsError as error:
        raise click.ClickException(str(error)) from error
    click.echo("| task | score | first | second | gain |\n|---|---|---|---|---|")
    for task, gain in zip(tasks, gains, strict=True):
        intervals = " | ".join(shown.per_cent() for shown in (first.interval(task), second.interval(task), gain))
        click.echo(f"| {task} | {first.tasks[task]['score']} | {intervals} |")


if __name__ == "__main__":
    main()
