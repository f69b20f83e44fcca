"""Signal processing and draws by hash that all tasks share, so that every machine makes the same tasks."""

import hashlib
from collections.abc import Iterable

import numpy as np

RATE = 16000
PEAK = 10 ** (-3 / 20)
PASS, STOP = 3500.0, 3800.0  # Hz
BLOCK = 1024


def normalised(samples: np.ndarray) -> np.ndarray:
    """int16 with a peak of -3 dBFS, so that level is no cue."""
    peak = float(np.abs(samples).max(initial=0.0))
    return np.round(samples * (PEAK * 32767 / peak if peak else 0.0)).astype(np.int16)


def low_passed(samples: np.ndarray) -> np.ndarray:
    """Low-pass, flat to 3.5 kHz and zero above 3.8 kHz, so that the bandwidth of a source is no cue."""
    size = (len(samples) // BLOCK + 2) * BLOCK  # pads by a block at least, so that the filter does not wrap around
    spectrum = np.fft.rfft(samples, size)
    slope = np.clip((STOP - np.fft.rfftfreq(size, 1 / RATE)) / (STOP - PASS), 0, 1)
    return np.fft.irfft(spectrum * np.sin(slope * np.pi / 2) ** 2, size)[: len(samples)].astype(np.float32)


def cut(samples: np.ndarray, seconds: float) -> np.ndarray:
    """The first seconds of a signal. Call it before measuring levels."""
    return samples[: round(seconds * RATE)]


def trimmed(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Trims both ends that lie ``decibels`` (negative) from the peak."""
    level = np.abs(samples)
    loud = np.flatnonzero(level > level.max(initial=0.0) * 10 ** (decibels / 20))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def rms(samples: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0


def number(*key: object) -> int:
    """A 64-bit hash of a key. Draws by it do not depend on other recordings."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, key)).encode()).digest()[:8], "big")


def generator(*key: object) -> np.random.RandomState:
    """A random generator seeded by a key. NumPy keeps the stream of this legacy generator fixed forever."""
    return np.random.RandomState(number(*key) % 2**32)


def tenth(*key: object) -> bool:
    """Whether a key belongs to a fixed tenth of all keys."""
    return number("valid", *key) % 10 == 0


def drawn(items: Iterable[str], count: int, *key: object) -> set[str]:
    """At most ``count`` of the items, drawn by hash."""
    return set(sorted(items, key=lambda item: number(*key, item))[:count])
