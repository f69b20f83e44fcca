"""What training buys: the mean of a suite against core hours, a curve a method, from results of ``evaluation.probe``.

    python -m training.reports.scaling training/reports/scaling.yaml results docs/generated/scaling.md

The YAML file names the points of each curve, from the untrained network on. The last column of the page is a point's
mean less that of the point before, with paired draws of test groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from evaluation.reports import compare
from evaluation.reports.compare import Result, ResultsError
from hear_audioformer.files import atomic_write, write_text

from ..sections import Where, parse


@dataclass(frozen=True, kw_only=True)
class Point:
    """A model on a curve.

    Attributes:
        hours: of one core that its training took, from random weights on.
        crops: that it learnt from in this time.
        result: its file of results, below the folder of results.
        what: how it came to be.
    """

    hours: float
    crops: int
    result: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What the YAML file says: how the hours were counted, and the points of each curve."""

    about: str
    curves: Mapping[str, Sequence[Point]]

    @classmethod
    def read(cls, path: Path) -> "Scaling":
        """From a file."""
        return parse(cls, yaml.safe_load(path.read_text()), Where(path.name))


def page(scaling: Scaling, results: Path, picture: str) -> str:
    """The page in Markdown."""
    lines = ["# What training buys", "", "Made by `python -m training.reports.scaling`; do not edit.", ""]
    lines += [" ".join(scaling.about.split()), "", f"![Mean against core hours]({picture})", ""]
    lines += [
        "| | core hours | crops | mean | neighbours | gain over the row before |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, points in scaling.curves.items():
        before: Result | None = None
        lines.append(f"| **{name}** | | | | | |")
        for point in points:
            result = compare.read_file(results / point.result)
            tasks = sorted(result.tasks)
            near = result.mean_of_other("knn", tasks)
            gained = "" if before is None else gain(result, before).per_cent()
            scores = f"{result.mean(tasks).per_cent()} | {100 * (near or 0):.1f} | {gained}"
            lines.append(f"| {point.what} | {point.hours:.1f} | {point.crops:,} | {scores} |")
            before = result
    return "\n".join(lines) + "\n"


def gain(result: Result, before: Result) -> compare.Interval:
    """The mean of a result less that of another on the same tasks, with paired draws."""
    if set(result.tasks) != set(before.tasks):
        raise ResultsError(f"{result.label} and {before.label} were scored on different tasks")
    return compare.mean({task: compare.difference(result, before, task) for task in result.tasks})


def draw(scaling: Scaling, results: Path, path: Path) -> None:
    """Writes the picture: a line a curve, bars for intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained", dpi=150)
    axes = figure.subplots()
    for name, points in scaling.curves.items():
        found = [compare.read_file(results / point.result) for point in points]
        means = [result.mean(sorted(result.tasks)) for result in found]
        bars = [100 * (mean.high - mean.value) for mean in means]
        hours, values = [point.hours for point in points], [100 * mean.value for mean in means]
        axes.errorbar(hours, values, yerr=bars, marker="o", label=name, capsize=2)
    axes.set_xlabel("core hours")
    axes.set_ylabel("mean of the development tasks")
    axes.grid(color="0.9")
    axes.legend(frameon=False, fontsize=9)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("points", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("results", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def main(points: Path, results: Path, out: Path) -> None:
    """Writes OUT and a picture beside it: the POINTS of a YAML file, whose scores are below RESULTS."""
    try:
        scaling = Scaling.read(points)
        draw(scaling, results, out.with_suffix(".png"))
        write_text(out, page(scaling, results, out.with_suffix(".png").name))
    except (ResultsError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}, {out.with_suffix('.png').name}")


if __name__ == "__main__":
    main()
