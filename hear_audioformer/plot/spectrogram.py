"""The log-mel spectrogram of a recording."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..features import FrontEnd
from .look import HEAT, new_figure, plain, time_axis, title
from .sound import Spectrogram, spectrogram_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TICKS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)  # Hz
DEPTH = 70.0  # dB below the loudest value that are shown
APART = 0.05  # of the height, between two ticks at least
DECIBEL = 10 / np.log(10)  # of one unit of a natural logarithm of energy


def spectrogram(path: str | Path, model: str = "") -> "Figure":
    """A picture of a recording, by the front end of a model if one is named."""
    figure = new_figure(9, 3.2)
    axes = figure.subplots()
    shown = spectrogram_of(path, *_front(model)) if model else spectrogram_of(path)
    image = draw(axes, shown)
    title(axes, Path(path).name, shown.detail)
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("level (dB)", fontsize=8)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    return figure


def draw(axes: Any, shown: Spectrogram, label: bool = True, apart: float = APART) -> Any:
    """Draws a spectrogram, 0 dB for its loudest value, ticks at least ``apart`` of the height; returns the image."""
    decibels = DECIBEL * (shown.levels - shown.levels.max())
    bands = len(shown.hertz)
    image = axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(0, shown.seconds, -0.5, bands - 0.5),
        cmap=HEAT,
        vmin=-DEPTH,
        vmax=0,
        interpolation="nearest",
    )
    ticks = [hertz for hertz in TICKS if shown.hertz[0] <= hertz <= shown.hertz[-1]]
    places = dict(zip(ticks, np.interp(ticks, shown.hertz, np.arange(bands)).tolist(), strict=True))
    for hertz, place in sorted(places.items(), reverse=True):  # low ones crowd
        if any(other > hertz and 0 <= places[other] - place < apart * bands for other in places):
            del places[hertz]
    axes.set_yticks(list(places.values()))
    axes.set_yticklabels([f"{hertz // 1000} k" if hertz >= 1000 else str(hertz) for hertz in places])
    axes.set_ylabel("Hz", fontsize=8)
    time_axis(axes, shown.seconds, label)
    plain(axes)
    return image


def _front(model: str) -> tuple[FrontEnd | None, str]:
    """The front end of a model, and its description; none if its features are no mel bands."""
    from ..weights import load_encoder

    encoder, _ = load_encoder(model)
    front = getattr(encoder, "front", None)
    if not isinstance(front, FrontEnd):
        raise ValueError(f"{model} does not read mel bands: leave --model out")
    return front, f"front end of {Path(model).stem}: {front.bands} mel bands, {front.sample_rate / 1000:g} kHz"
