"""Compares files of results task by task, with paired bootstrap draws.

    python -m evaluation.reports.compare runs/pretrained/result.json runs/scratch/result.json
    python -m evaluation.reports.compare runs/with-{0,1,2}/result.json runs/without-{0,1,2}/result.json

prints the gain of the first over the second on each shared task; files come from ``evaluation.probe`` or fine-tuning.
With more files the first half is paired with the second half in order, such as one file a seed. The gain is then the
mean over the pairs, and its interval covers the variation over both test clips and seeds.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..scoring.bootstrap import Draws, Interval, draw
from ..scoring.records import FORMAT
from ..scoring.scores import folded

BASELINES = "evaluation.baselines."
UNTRAINED = ".untrained"  # the module of networks with random weights, in a package above this one
HALVES = {"word_de": "word", "word_xx": "word", "sfx_ab": "sfx", "sfx_ba": "sfx"}  # folder -> task in two folders


class ResultsError(ValueError):
    """Results that cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class Result:
    """One file of results: a model on a suite."""

    content: dict[str, Any]

    @property
    def suite(self) -> str:
        return str(self.content["suite"])

    @property
    def is_baseline(self) -> bool:
        module = str(self.content["module"])
        return module.startswith(BASELINES) or module.endswith(UNTRAINED)

    @property
    def label(self) -> str:
        """The label in tables: the model's name, for baselines and foreign modules after the module's name."""
        module, name = str(self.content["module"]), str(self.content["name"])
        short = module.rsplit(".", 1)[-1] if self.is_baseline else module
        parts = [] if module.split(".")[0] == "hear_audioformer" else [short]
        parts += [name] if name != "default" or not parts else []
        return " ".join([*parts, *(["(MLP)"] if self.content["head"] == "mlp" else [])])

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        return dict(self.content["tasks"])

    def interval(self, task: str) -> Interval:
        """A task's score. The interval is symmetric, so its bounds may lie outside [0, 1]."""
        line = self.tasks[task]
        return Interval.of(line["value"], line["error"], line["degrees"])

    def mean(self, tasks: Iterable[str]) -> Interval:
        """The mean over tasks; two halves count as one task."""
        return mean({task: self.interval(task) for task in tasks})

    def mean_of_other(self, name: str, tasks: Iterable[str]) -> float | None:
        """The mean of another predictor, such as "knn", over the tasks that have one."""
        others = {task: self.tasks[task]["others"] for task in tasks}
        values = {task: Interval.of(other[name]["value"], 0.0, 1) for task, other in others.items() if name in other}
        return mean(values).value if values else None


def merged(scores: Mapping[str, Interval]) -> dict[str, Interval]:
    """Scores by task, sorted. A task in two folders (halves) gets their mean."""
    parts_of: dict[str, list[Interval]] = {}
    for task, score in scores.items():
        parts_of.setdefault(HALVES.get(task, task), []).append(score)
    return {
        task: intervals[0] if len(intervals) == 1 else Interval.mean(intervals)
        for task, intervals in sorted(parts_of.items())
    }


def mean(scores: Mapping[str, Interval]) -> Interval:
    """The mean over tasks; two halves count as one task."""
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
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ResultsError(f"{file} is no file of results: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        version = content.get("format") if isinstance(content, dict) else None
        raise ResultsError(f"{file} has format {version}, this version reads {FORMAT}: run it again")
    return Result(content)


def difference(first: Result, second: Result, task: str) -> Interval:
    """The first score less the second, with paired draws."""
    return mean_difference([(first, second)], task)


def mean_difference(pairs: Sequence[tuple[Result, Result]], task: str) -> Interval:
    """The mean over pairs of runs, such as one a seed, of the first score less the second.

    All runs share the draws of test groups. The error adds that of these draws and that of the mean over pairs.
    """
    first = pairs[0][0].tasks[task]
    for result in (result for pair in pairs for result in pair):
        _require_same_clips(pairs[0][0], result, task)
    draws = draw(task, np.array(first["folds"]), np.array(first["groups"]))
    lines = [(left.tasks[task], right.tasks[task]) for left, right in pairs]
    return _mean(
        [a["value"] - b["value"] for a, b in lines], [_scores(a, draws) - _scores(b, draws) for a, b in lines], draws
    )


def mean_score(runs: Sequence[Result], task: str) -> Interval:
    """The mean over runs of a task's score, with an interval as in ``mean_difference``."""
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


def _require_same_clips(first: Result, second: Result, task: str) -> None:
    a, b = first.tasks[task], second.tasks[task]
    true = "real" if "real" in a["columns"] else "truth"
    if any(a[key] != b[key] for key in ("folds", "groups", "score")) or a["columns"][true] != b["columns"][true]:
        raise ResultsError(
            f"{task}: {first.label} and {second.label} were scored on different test clips; run the older one again"
        )


@dataclass(frozen=True)
class Tally:
    """The numbers of tasks on which a model is significantly better, significantly worse, or neither."""

    wins: int
    losses: int
    ties: int


def tally(first: Result, second: Result) -> Tally:
    """Counts over the tasks that both results have."""
    differences = [difference(first, second, task) for task in first.tasks if task in second.tasks]
    wins = sum(d.low > 0 for d in differences)
    losses = sum(d.high < 0 for d in differences)
    return Tally(wins, losses, len(differences) - wins - losses)


def perturbed_scores(clean: Result, perturbed: Result) -> dict[str, float]:
    """Name of the clean task -> score under a perturbation, for all perturbed tasks.

    A perturbed task is named after its origin, ``<task>_...``. The rounds of a task with k folds are averaged.
    """
    scores = {}
    for task in clean.tasks:
        rivals = [name for name in clean.tasks if name.startswith(f"{task}_")]
        values = [
            other["value"]
            for name, other in perturbed.tasks.items()
            if name.startswith(f"{task}_") and not any(name.startswith(f"{rival}_") for rival in rivals)
        ]
        if values:
            scores[task] = sum(values) / len(values)
    return scores


def drop(clean: Result, perturbed: Result, tasks: Sequence[str]) -> float | None:
    """The mean over tasks of the clean score less the perturbed one; None if a perturbed score is missing."""
    values = perturbed_scores(clean, perturbed)
    if not all(task in values for task in tasks):
        return None
    return sum(clean.tasks[task]["value"] - values[task] for task in tasks) / len(tasks)


def _scores(line: dict[str, Any], draws: Draws) -> np.ndarray:
    columns = {name: np.array(column) for name, column in line["columns"].items()}
    return folded(line["score"], columns, np.array(line["folds"]), draws.weights)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(files: tuple[Path, ...]) -> None:
    """Prints the gain of the first half of FILES over the second half, in per cent with 95 % intervals.

    FILES are result.json of training.finetune, or SUITE.json of evaluation.probe. Of more than two, the first of the
    one half is paired with the first of the other, and so on: one file a seed.

    \b
    Examples:
      python -m evaluation.reports.compare runs/pretrained/result.json runs/scratch/result.json
      python -m evaluation.reports.compare runs/with-{0,1,2}/result.json runs/without-{0,1,2}/result.json
    """
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
