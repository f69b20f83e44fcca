"""Results side by side: read from files, compared by the same draws, task by task.

    python -m evaluation.reports.compare runs/pretrained/result.json runs/scratch/result.json
    python -m evaluation.reports.compare runs/with-{0,1,2}/result.json runs/without-{0,1,2}/result.json

prints what the first has over the second on each task of both, whether of ``evaluation.probe`` or of fine-tuning. Of
more files the first half stands against the second half, in their order, such as one a seed: what is printed is the
mean over the pairs, and its interval knows of both the test clips and the seeds.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..scoring.bootstrap import Draws, Interval, draw
from ..scoring.records import FORMAT
from ..scoring.scores import folded

BASELINES = re.compile(r"(evaluation\.baselines|training)\.(?=\w+$)")  # modules that models are measured against
HALVES = {"word_de": "word", "word_xx": "word", "sfx_ab": "sfx", "sfx_ba": "sfx"}  # of one task, in two folders


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
        return bool(BASELINES.match(str(self.told["module"])))

    @property
    def label(self) -> str:
        """What a table calls it: the model's name; of baselines and others' modules the module's as well."""
        module, name = str(self.told["module"]), str(self.told["name"])
        parts = [] if module.split(".")[0] == "hear_audioformer" else [BASELINES.sub("", module)]
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
        """Over tasks, of which halves count as one."""
        return mean({task: self.interval(task) for task in tasks})

    def mean_of_other(self, name: str, tasks: Iterable[str]) -> float | None:
        """The mean of another predictor, such as "knn", over the tasks that have one."""
        others = {task: self.tasks[task]["others"] for task in tasks}
        values = {task: Interval.of(other[name]["value"], 0.0, 1) for task, other in others.items() if name in other}
        return mean(values).value if values else None


def merged(scores: Mapping[str, Interval]) -> dict[str, Interval]:
    """Scores by task, in order; halves of one task, which HEAR's format holds in two folders, as their mean."""
    found: dict[str, list[Interval]] = {}
    for task, score in scores.items():
        found.setdefault(HALVES.get(task, task), []).append(score)
    return {task: parts[0] if len(parts) == 1 else Interval.mean(parts) for task, parts in sorted(found.items())}


def mean(scores: Mapping[str, Interval]) -> Interval:
    """Over tasks, of which halves count as one."""
    return Interval.mean(list(merged(scores).values()))


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
    return mean_difference([(one, other)], task)


def mean_difference(pairs: Sequence[tuple[Result, Result]], task: str) -> Interval:
    """The mean over pairs of runs, such as one a seed, of the first's score less the second's.

    Test groups are drawn for all runs at once; to the error from these comes that of the mean over pairs.
    """
    first = pairs[0][0].tasks[task]
    for result in (result for pair in pairs for result in pair):
        _require_same_clips(pairs[0][0], result, task)
    draws = draw(task, np.array(first["folds"]), np.array(first["groups"]))
    lines = [(one.tasks[task], other.tasks[task]) for one, other in pairs]
    return _mean(
        [a["value"] - b["value"] for a, b in lines], [_scores(a, draws) - _scores(b, draws) for a, b in lines], draws
    )


def mean_score(runs: Sequence[Result], task: str) -> Interval:
    """The mean over runs of a task's score, its interval as in ``mean_difference``."""
    if len(runs) == 1:
        return runs[0].interval(task)
    lines = [run.tasks[task] for run in runs]
    draws = draw(task, np.array(lines[0]["folds"]), np.array(lines[0]["groups"]))
    return _mean([line["value"] for line in lines], [_scores(line, draws) for line in lines], draws)


def _mean(values: Sequence[float], scores: Sequence[np.ndarray], draws: Draws) -> Interval:
    clips = Interval.drawn(float(np.mean(values)), np.mean(scores, 0), draws)
    if len(values) == 1:
        return clips
    return clips.widened(float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1)


def _require_same_clips(one: Result, other: Result, task: str) -> None:
    a, b = one.tasks[task], other.tasks[task]
    true = "real" if "real" in a["columns"] else "truth"
    if any(a[key] != b[key] for key in ("folds", "groups", "score")) or a["columns"][true] != b["columns"][true]:
        raise ResultsError(
            f"{task}: {one.label} and {other.label} were scored on different test clips; run the older one again"
        )


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
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(files: tuple[Path, ...]) -> None:
    """What the first half of FILES has over the second half, in per cent with 95 % intervals of the same draws."""
    if len(files) % 2:
        raise click.UsageError(f"{len(files)} files: name as many for the one side as for the other")
    try:
        results = [read_file(file) for file in files]
        tasks = [task for task in results[0].tasks if all(task in result.tasks for result in results)]
        if not tasks:
            raise ResultsError(f"{', '.join(map(str, files))} have no task in common")
        ones, others = results[: len(files) // 2], results[len(files) // 2 :]
        columns = [
            {task: mean_score(ones, task) for task in tasks},
            {task: mean_score(others, task) for task in tasks},
            {task: mean_difference(list(zip(ones, others, strict=True)), task) for task in tasks},
        ]
    except ResultsError as error:
        raise click.ClickException(str(error)) from error
    click.echo("| task | score | first | second | gain |\n|---|---|---|---|---|")
    for task in tasks:
        intervals = " | ".join(column[task].per_cent() for column in columns)
        click.echo(f"| {task} | {results[0].tasks[task]['score']} | {intervals} |")
    if (count := len(merged(columns[0]))) > 1:
        click.echo(f"| mean of {count} | | {' | '.join(mean(column).per_cent() for column in columns)} |")


if __name__ == "__main__":
    main()
