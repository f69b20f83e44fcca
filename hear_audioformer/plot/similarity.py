"""Self-similarity: each moment of a recording against each other, under its spectrogram."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .look import new_figure, plain, time_axis, title
from .moments import Moments, moments_of
from .sound import spectrogram_of
from .spectrogram import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def similarity(path: str | Path, model: str = "", **options: Any) -> "Figure":
    """Cosine similarities of all pairs of moments. Blocks are sections, stripes beside the diagonal are repetitions."""
    figure = new_figure(6.4, 7.4)
    above, axes = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 4.2]})
    moments, shown = moments_of(path, model, **options), spectrogram_of(path)
    draw(above, shown, label=False, apart=0.12)
    title(above, Path(path).name, moments.detail)
    draw_similarity(figure, axes, moments, shown.seconds)
    return figure


def draw_similarity(figure: "Figure", axes: Any, moments: Moments, seconds: float) -> None:
    """Draws the similarities of all pairs of moments, with a bar; red is alike, blue is opposed."""
    similar = moments.units @ moments.units.T
    bound = float(np.quantile(np.abs(similar[~np.eye(len(similar), dtype=bool)]), 0.99))
    end = len(moments.units) * moments.step
    image = axes.imshow(
        similar,
        origin="lower",
        aspect="auto",
        extent=(0, end, 0, end),
        cmap="RdBu_r",
        vmin=-bound,
        vmax=bound,
        interpolation="nearest",
    )
    time_axis(axes, seconds)
    axes.set_ylim(0, seconds)
    axes.set_ylabel(axes.get_xlabel(), fontsize=8)
    axes.yaxis.set_major_formatter(axes.xaxis.get_major_formatter())
    plain(axes)
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04)
    bar.set_label("cosine similarity", fontsize=8)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
