"""What every task does to its clips, and every draw that it makes, so that each machine makes the same tasks."""

import hashlib
from collections.abc import Iterable

import numpy as np

RATE = 16000
PEAK = 10 ** (-3 / 20)
PASS, STOP = 3500.0, 3800.0  # Hz
BLOCK = 1024


def normalised(samples: np.ndarray) -> np.ndarray:
    """int16 with a peak of -3 dBFS: level is no cue."""
    peak = float(np.abs(samples).max(initial=0.0))
    return np.round(samples * (PEAK * 32767 / peak if peak else 0.0)).astype(np.int16)


def low_passed(samples: np.ndarray) -> np.ndarray:
    """Without what lies above 3.8 kHz, flat to 3.5 kHz: where sources differ in bandwidth, it shall tell no class."""
    size = (len(samples) // BLOCK + 2) * BLOCK  # at least a block of silence, so that the end does not reach the start
    spectrum = np.fft.rfft(samples, size)
    slope = np.clip((STOP - np.fft.rfftfreq(size, 1 / RATE)) / (STOP - PASS), 0, 1)
    return np.fft.irfft(spectrum * np.sin(slope * np.pi / 2) ** 2, size)[: len(samples)].astype(np.float32)


def cut(samples: np.ndarray, seconds: float) -> np.ndarray:
    """The first so many seconds; before anything is measured on what a clip will not hold."""
    return samples[: round(seconds * RATE)]


def trimmed(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Without the ends that lie this far below the peak."""
    level = np.abs(samples)
    loud = np.flatnonzero(level > level.max(initial=0.0) * 10 ** (decibels / 20))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def rms(samples: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0


def number(*key: object) -> int:
    """A number of 64 bits that stands for a key: draws by it do not depend on what else there is."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, key)).encode()).digest()[:8], "big")


def generator(*key: object) -> np.random.RandomState:
    """Random numbers for a key. NumPy promises that this generator's never change; its newer ones may."""
    return np.random.RandomState(number(*key) % 2**32)


def tenth(*key: object) -> bool:
    """True for a tenth of all keys."""
    return number("valid", *key) % 10 == 0


def drawn(items: Iterable[str], count: int, *key: object) -> set[str]:
    """At most so many of the items, drawn by hash."""
    return set(sorted(items, key=lambda item: number(*key, item))[:count])
