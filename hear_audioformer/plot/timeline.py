"""Timeline: the spectrogram of a recording, its moments as colours, and where they change."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..projection import principal
from .look import LINE, QUIET, new_figure, plain, time_axis, title
from .moments import moments_of
from .sound import spectrogram_of
from .spectrogram import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPAN = 1.0  # seconds before and after a moment that novelty compares; less in a short recording
PEAKS = 12


def timeline(path: str | Path, model: str = "", **options: Any) -> "Figure":
    """Similar moments have similar colours (three principal components); novelty peaks where the sound changes."""
    figure = new_figure(9, 4.6)
    rows = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 0.7, 1.3]})
    moments, shown = moments_of(path, model, **options), spectrogram_of(path)
    draw(rows[0], shown, label=False)
    title(rows[0], Path(path).name, moments.detail)
    end = len(moments.units) * moments.step
    rows[1].imshow(colours(moments.units)[None], aspect="auto", extent=(0, end, 0, 1), interpolation="nearest")
    rows[1].set_yticks([])
    rows[1].set_ylabel("colour", fontsize=8)
    curve = novelty(moments.units, max(2, round(min(SPAN, end / 8) / moments.step)))
    times = (np.arange(len(curve)) + 0.5) * moments.step
    rows[2].fill_between(times, curve, color=LINE, alpha=0.25, linewidth=0)
    rows[2].plot(times, curve, color=LINE, linewidth=1)
    for place in peaks(curve):
        for axes in rows:
            axes.axvline(times[place], color="white" if axes is rows[0] else QUIET, linewidth=0.8, linestyle=":")
    rows[2].set_ylim(0, 1.1 * max(float(curve.max()), 1e-6))
    rows[2].set_yticks([])
    rows[2].set_ylabel("novelty", fontsize=8)
    for axes in rows[1:]:
        plain(axes)
    rows[1].tick_params(bottom=False)
    time_axis(rows[2], shown.seconds)
    return figure


def colours(units: np.ndarray) -> np.ndarray:
    """Three principal components as red, green and blue between 0 and 1: (moments, 3)."""
    points = principal(units, 3)
    low, high = np.quantile(points, 0.02, axis=0), np.quantile(points, 0.98, axis=0)
    return np.clip((points - low) / np.maximum(high - low, 1e-9), 0, 1)


def novelty(units: np.ndarray, span: int) -> np.ndarray:
    """How much a moment's past and future differ from each other while each is like itself: (moments,), from 0 on.

    A checkerboard with a Gaussian taper along the diagonal of the self-similarity (Foote, 2000). Beyond the ends the
    first and the last moment go on.
    """
    offsets = np.arange(-span, span) + 0.5
    taper = np.exp(-((offsets / (span / 2)) ** 2))
    board = np.outer(taper * np.sign(offsets), taper * np.sign(offsets))
    board /= np.abs(board).sum()
    padded = np.pad(units, ((span, span), (0, 0)), mode="edge")
    values = np.empty(len(units))
    for place in range(len(units)):
        some = padded[place : place + 2 * span]
        values[place] = np.einsum("ij,id,jd->", board, some, some, optimize=True)
    return np.maximum(values, 0)


def peaks(curve: np.ndarray) -> list[int]:
    """The highest peaks: larger than their neighbours, and than mean and deviation of the curve together."""
    inner = curve[1:-1]
    found = 1 + np.flatnonzero((inner >= curve[:-2]) & (inner > curve[2:]) & (inner > curve.mean() + curve.std()))
    return sorted(int(place) for place in found[np.argsort(-curve[found])][:PEAKS])
