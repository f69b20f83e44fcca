"""A table as a map: rows that sound alike lie side by side."""

import csv
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..projection import Projection, project
from ..table import Place, Table, opened
from .look import COLOURS, QUIET, new_figure, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMES = 19  # values that get a colour of their own
OTHER, NONE = "other", ""
OWN = ("folder", "offset", "seconds")  # columns that a table has by itself


def map_of(
    table: "str | os.PathLike[str] | Table",
    *,
    color: str = "",
    table_of_values: str | Path = "",
    method: str | None = None,
    seed: int = 0,
) -> "Figure":
    """A map of a table, coloured by a column.

    Args:
        color: a column of ``table_of_values``, or ``folder``, ``offset`` or ``seconds`` of the table itself.
        table_of_values: a CSV with a column path, and offset for tables with several rows a recording, such as those of
            ``classify`` and ``cluster``.
        method: umap or pca; UMAP where it is installed.
    """
    table = opened(table)
    projection = project(table, method, seed=seed)
    values = values_of(table.places(projection.rows), color, table_of_values) if color else None
    figure = new_figure(8.2, 6.4)
    axes = figure.subplots()
    draw_points(figure, axes, projection, values, color)
    shown = len(projection.rows)
    count = f"{shown:,} rows" if shown == len(table) else f"{shown:,} of {len(table):,} rows"
    title(axes, table.path.name, f"{table.facts['model']}, {count}, {projection.method.upper()}")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#dddddd")
    return figure


def values_of(places: list[Place], color: str, file: str | Path = "") -> list[str]:
    """The value of a column for each row; empty where the file has none."""
    if not file:
        if color not in OWN:
            raise InputError(f"--color {color}: name its table with --csv, or take one of {', '.join(OWN)}")
        return [Path(place.path).parent.name if color == "folder" else str(getattr(place, color)) for place in places]
    with open(file, newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        names = reader.fieldnames or []
        if missing := [name for name in ("path", color) if name not in names]:
            raise InputError(f"{file} has no column {', '.join(missing)}; it has {', '.join(names)}")
        by_row = {(row["path"], _rounded(row.get("offset"))): row[color] for row in reader}
    exact = "offset" in names
    values = [by_row.get((place.path, _rounded(place.offset) if exact else None), NONE) for place in places]
    if not any(values):
        raise InputError(f"{file} has none of the recordings of the table: its paths must be those of the table")
    return values


def _rounded(offset: Any) -> float | None:
    return None if offset is None else round(float(offset), 3)


def draw_points(figure: "Figure", axes: Any, projection: Projection, values: list[str] | None, color: str) -> None:
    """Draws a projection, with a legend or a bar for the values of the column ``color``."""
    x, y = projection.points.T
    size = float(np.clip(6000 / len(x), 4, 36))
    look: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.8}
    if values is None:
        axes.scatter(x, y, color=COLOURS[0], **look)
        return
    numbers = _numbers(values)
    if numbers is not None and len(set(values)) > MOST_NAMES:
        points = axes.scatter(x, y, c=numbers, cmap="viridis", **look)
        bar = figure.colorbar(points, ax=axes, pad=0.01, fraction=0.04)
        bar.set_label(color, fontsize=8)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8)
        return
    counts = Counter(value for value in values if value != NONE)
    names = [name for name, _ in counts.most_common(MOST_NAMES)]
    names = sorted(names, key=float) if numbers is not None else sorted(names)
    place = np.array([names.index(value) if value in names else -1 for value in values])
    axes.scatter(x[place < 0], y[place < 0], color="#cccccc", **look)
    for number, name in enumerate(names):
        own = place == number
        axes.scatter(x[own], y[own], color=COLOURS[number % len(COLOURS)], label=f"{name} ({counts[name]:,})", **look)
    rest = int((place < 0).sum())
    if rest:
        axes.scatter([], [], color="#cccccc", label=f"{OTHER} ({rest:,})", **look)
    legend = axes.legend(
        title=color, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, title_fontsize=9
    )
    for handle in legend.legend_handles:
        handle.set_sizes([30])
    for text in legend.get_texts():
        text.set_color(QUIET)


def _numbers(values: list[str]) -> np.ndarray | None:
    """The values as numbers, if all are; NaN for none."""
    try:
        return np.array([float(value) if value != NONE else np.nan for value in values])
    except ValueError:
        return None
