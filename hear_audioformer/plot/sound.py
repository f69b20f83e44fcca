"""The log-mel spectrogram of a recording of any length, at most so many columns wide."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import audio
from ..features import FrontEnd, LogMel

BANDS = 128
COLUMNS = 1500  # of a picture
FRAMES = 3000  # computed at a time
RATES = (8000, 16000, 24000, 32000, 40000)  # for recordings whose own rate has no exact frames


@dataclass(frozen=True)
class Spectrogram:
    """A picture of sound.

    Attributes:
        levels: natural logarithms of energy, (bands, columns).
        hertz: centre of each band: (bands,).
        seconds: length of the recording.
        detail: what computed it.
    """

    levels: np.ndarray
    hertz: np.ndarray
    seconds: float
    detail: str


def spectrogram_of(path: str | Path, front: FrontEnd | None = None, detail: str = "") -> Spectrogram:
    """The spectrogram of a file by a model's front end, or else by a log-mel at the file's own rate."""
    if front is None:
        with audio.Reading(path) as reading:
            front = LogMel(_rate(reading.sample_rate), BANDS)
        detail = f"{BANDS} mel bands, {front.sample_rate / 1000:g} kHz"
    waveform = audio.read(path, front.sample_rate)[None]
    count = front.count(waveform.shape[-1])  # type: ignore[operator]
    merged = -(-count // COLUMNS)  # frames of a column
    step = FRAMES // merged * merged or merged
    parts = [_merged(front(waveform, start, min(start + step, count))[0], merged) for start in range(0, count, step)]
    return Spectrogram(torch.cat(parts).T.numpy(), _centres(front), waveform.shape[-1] / front.sample_rate, detail)


def _merged(frames: Tensor, count: int) -> Tensor:
    """Neighbouring frames (frames, bands) as one column: the mean of their energies, not of their logarithms."""
    return torch.stack([some.exp().mean(0).log() for some in frames.split(count)]) if count > 1 else frames


def _centres(front: FrontEnd) -> np.ndarray:
    """The frequency that each filter is centred on."""
    filters = front.filters.double().numpy()
    hertz = np.linspace(0, front.sample_rate / 2, len(filters))
    weight = filters.sum(0)
    centres = np.divide(hertz @ filters, weight, out=np.full(len(weight), np.nan), where=weight > 0)
    known = np.isfinite(centres)  # the narrowest filters may lie between two bins
    places = np.arange(len(centres))
    return np.maximum.accumulate(np.interp(places, places[known], centres[known]))


def _rate(own: int) -> int:
    """The file's own rate, or the nearest below with frames of exactly 10 ms."""
    return own if own % 200 == 0 and own >= RATES[0] else max((rate for rate in RATES if rate <= own), default=RATES[0])
