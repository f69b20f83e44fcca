"""A dot plot of scores with their intervals: a row a task, a dot a model."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from .compare import Result

ROW, GAP = 0.13, 0.22  # inches of a dot, and between tasks
MARKERS = "osD^vP*X"


def draw(path: Path, title: str, results: Sequence[Result], tasks: Sequence[str]) -> None:
    """Writes a PNG. Models in colour, baselines in grey, chance as a line across the task's row."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModuleNotFoundError(
            "the picture needs matplotlib: pip install 'hear_audioformer[plot]', or pass --no-picture"
        ) from error
    step = ROW * len(results) + GAP
    figure = Figure(figsize=(8.5, step * len(tasks) + 1.6), layout="constrained", dpi=150)
    axes = figure.subplots()
    for number, (result, color) in enumerate(zip(results, _colors(results), strict=True)):
        marker = MARKERS[number % len(MARKERS)]
        intervals = [(i, result.interval(task)) for i, task in enumerate(tasks) if task in result.tasks]
        values = [100 * interval.value for _, interval in intervals]
        bars = [
            [100 * (interval.value - max(0.0, interval.low)) for _, interval in intervals],
            [100 * (min(1.0, interval.high) - interval.value) for _, interval in intervals],
        ]
        heights = [i * step + ROW * (number - (len(results) - 1) / 2) for i, _ in intervals]
        axes.errorbar(
            values, heights, xerr=bars, fmt=marker, color=color, markersize=5, elinewidth=1, label=result.label
        )
    for i, task in enumerate(tasks):
        chance = next(100 * result.tasks[task]["chance"] for result in results if task in result.tasks)
        label = "" if i else "chance"
        axes.vlines(chance, i * step - step / 2.4, i * step + step / 2.4, "black", "dotted", linewidth=1, label=label)
        if i:
            axes.axhline((i - 0.5) * step, color="0.9", linewidth=0.8, zorder=0)
    axes.set_yticks([i * step for i in range(len(tasks))], list(tasks))
    axes.set_ylim((len(tasks) - 0.5) * step, -0.5 * step)
    axes.set_xlim(-1, 101)
    axes.set_xlabel("score, and its 95 % interval over test groups")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.suptitle(title)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path)


def _colors(results: Sequence[Result]) -> list[str]:
    """Matplotlib's cycle for models, shades of grey for baselines."""
    greys, cycle = itertools.cycle(["0.55", "0.7", "0.4", "0.8"]), itertools.cycle([f"C{i}" for i in range(10)])
    return [next(greys if result.is_baseline else cycle) for result in results]
