"""The processing of every clip: trim, cut, normalise to a peak of -3 dBFS, int16."""

import numpy as np

from ...tasks.write import RATE

PEAK = 10 ** (-3 / 20) * 32767
FADE = RATE // 200  # 5 ms, so that no cut clicks
QUIET = 10 ** (-40 / 20)


def finish(samples: np.ndarray) -> np.ndarray:
    """Removes the DC offset and normalises the peak, so that level is no cue: int16. Digital silence stays silent."""
    centred = samples.astype(np.float32) - np.float32(samples.mean()) if len(samples) else samples.astype(np.float32)
    peak = float(np.abs(centred).max(initial=0.0))
    return np.round(centred * (PEAK / peak if peak else 0.0)).astype(np.int16)


def trim(samples: np.ndarray) -> np.ndarray:
    """Trims both ends that lie 40 dB below the peak, up to a margin of 20 ms."""
    level = np.abs(samples.astype(np.float32))
    loud = np.flatnonzero(level > QUIET * level.max(initial=0.0))
    margin = RATE // 50
    return samples[max(0, loud[0] - margin) : loud[-1] + margin] if len(loud) else samples[:0]


def cut(samples: np.ndarray, start: float, seconds: float) -> np.ndarray:
    """A segment, faded at the edges where it was cut."""
    first, length = round(start * RATE), round(seconds * RATE)
    piece = samples[first : first + length].astype(np.float32)
    fade = np.linspace(0.0, 1.0, min(FADE, len(piece)), dtype=np.float32)
    if first > 0:
        piece[: len(fade)] *= fade
    if first + length < len(samples):
        piece[len(piece) - len(fade) :] *= fade[::-1]
    return piece
