"""What the page shows, as functions from a sound and a folder to pictures and rows. No Gradio here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import AudioError
from ..plot.look import new_figure, title
from ..plot.map import draw_points
from ..plot.moments import moments_of
from ..plot.similarity import draw_similarity
from ..plot.sound import spectrogram_of
from ..plot.spectrogram import draw
from .folder import Folder, Heard
from .sound import flac, stretch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110


@dataclass(frozen=True)
class Neighbour:
    """A row that sounds like the visitor's sound.

    Attributes:
        sound: what a player plays, FLAC; empty where the recording cannot be read.
        problem: why it cannot.
    """

    rank: int
    score: float
    row: int
    path: str
    start: float
    seconds: float
    sound: bytes
    problem: str = ""


@dataclass(frozen=True)
class MapPicture:
    """A map, and where its points are.

    Attributes:
        pixels: (height, width, 3), uint8.
        places: column and line of each point: (points, 2).
        rows: the table's row of each point.
    """

    pixels: np.ndarray
    places: np.ndarray
    rows: np.ndarray

    def row_at(self, column: float, line: float) -> int:
        """The row whose point is nearest to a pixel."""
        return int(self.rows[np.square(self.places - (column, line)).sum(1).argmin()])


def spectrogram(path: str | Path) -> np.ndarray:
    """A sound as a log-mel spectrogram: (height, width, 3), uint8."""
    figure = new_figure(9, 2.9)
    axes = figure.subplots()
    shown = spectrogram_of(path)
    title(axes, "Spectrogram", shown.detail)
    bar = figure.colorbar(draw(axes, shown), ax=axes, pad=0.01)
    bar.set_label("level (dB)", fontsize=8)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    return pixels_of(figure)


def similarity(folder: Folder, path: str | Path, seconds: float) -> np.ndarray:
    """Each moment of a sound against each other, by the folder's model: (height, width, 3), uint8."""
    moments = moments_of(path, folder.model)
    figure = new_figure(5.0, 4.2)
    axes = figure.subplots()
    title(axes, "Self-similarity", f"{folder.name}, {moments.detail}")
    draw_similarity(figure, axes, moments, seconds)
    return pixels_of(figure)


def nearest(folder: Folder, heard: Heard, k: int) -> list[Neighbour]:
    """The rows of a folder most like a sound, each with what a player plays."""
    return [
        neighbour(folder, hit.row, rank=hit.rank, score=hit.score)
        for hit in folder.nearest(heard, min(k, len(folder.table)))
    ]


def neighbour(folder: Folder, row: int, *, rank: int = 0, score: float = 1.0) -> Neighbour:
    """A row with what a player plays."""
    (place,) = folder.table.places([row])
    start, seconds = stretch(place, folder.table.kind)
    try:
        sound, problem = flac(place.path, start, seconds), ""
    except AudioError as error:
        sound, problem = b"", str(error)
    return Neighbour(rank, score, row, place.path, start, seconds, sound, problem)


def in_common(one: Sequence[Neighbour], other: Sequence[Neighbour]) -> set[str]:
    """The recordings that both found."""
    return {neighbour.path for neighbour in one} & {neighbour.path for neighbour in other}


def map_picture(folder: Folder, column: str, method: str, marked: Sequence[int] = ()) -> MapPicture:
    """A map of a folder, coloured by a column; marked rows get rings with their rank."""
    projection = folder.projection(method)
    figure = new_figure(8.6, 5.6)
    axes = figure.subplots()
    draw_points(figure, axes, projection, folder.values(column, projection.rows), column)
    title(axes, "Map", f"{folder.name}, {len(projection.rows):,} rows, {method.upper()}")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#dddddd")
    point_of = {int(row): number for number, row in enumerate(projection.rows)}
    for rank, row in enumerate(marked, 1):
        if row in point_of:
            x, y = projection.points[point_of[row]]
            axes.scatter([x], [y], s=110, facecolors="none", edgecolors="black", linewidths=1.3)
            axes.annotate(str(rank), (x, y), (6, 5), textcoords="offset points", fontsize=9, fontweight="bold")
    pixels = pixels_of(figure)
    places = axes.transData.transform(projection.points)
    places[:, 1] = len(pixels) - places[:, 1]
    return MapPicture(pixels, places, projection.rows)


def pixels_of(figure: "Figure") -> np.ndarray:
    """A figure as a picture: (height, width, 3), uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
