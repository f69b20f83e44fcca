"""The moments of a recording as vectors, for pictures: each is a short stretch, embedded as a clip of its own.

Timestamp embeddings would not do. Frames of a transformer also say where in their window they are, so a picture of them
shows the borders of windows before it shows the sound.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import audio
from ..errors import AudioError
from ..model import Model
from ..standard import Standard
from ..weights import load_model

STRETCH = 0.5  # seconds of a moment
LEAST_STEP = 0.05  # seconds from one moment to the next, at least
MOST = 300  # moments of a recording
SOME = 64  # stretches that are embedded at a time


@dataclass(frozen=True)
class Moments:
    """Moments of a recording.

    Attributes:
        units: standardised vectors of length one: (moments, dim).
        step: seconds from the middle of one to that of the next; the first is at half a step.
        detail: what computed them.
    """

    units: np.ndarray
    step: float
    detail: str


def moments_of(path: str | Path, model: str | Model = "", **options: Any) -> Moments:
    """The moments of a recording by a model, or by the model of a name; the default one if it is empty."""
    from ..index import index

    loaded = model if isinstance(model, Model) else load_model(model, **options)
    waveform = audio.read(path, loaded.sample_rate)
    seconds = len(waveform) / loaded.sample_rate
    step = max(LEAST_STEP, seconds / MOST)
    half = max(STRETCH, step) / 2
    count = int(seconds / step)
    if count < 3:
        raise AudioError(f"{path}: lasts {seconds:.2g} s; a picture needs {3 * LEAST_STEP:g} s at least")
    middles = (np.arange(count) + 0.5) * step
    edges = (np.stack([middles - half, middles + half], 1) * loaded.sample_rate).round().astype(int)
    clips = [waveform[max(0, start) : stop] for start, stop in edges.tolist()]
    parts = [loaded.scene(clips[start : start + SOME]).cpu().numpy() for start in range(0, count, SOME)]
    vectors = np.concatenate(parts)
    name = "" if isinstance(model, Model) else f"{Path(model).stem if model else index().default}, "
    return Moments(Standard.of([vectors]).unit(vectors), step, f"{name}{2 * half:.2g} s each {step:.2g} s")
