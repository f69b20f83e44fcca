"""Ten short sounds of the listening page, five pairs: formulas, two voices of espeak-ng, and the package's own example.

All are CC0-1.0. What espeak-ng says is not under the licence of espeak-ng.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from corpora.synthesis.programs import run

RATE = 16000
SECONDS = 3.0
SAMPLES = round(SECONDS * RATE)
EXAMPLE = Path(__file__).parents[2] / "docs" / "example.ogg"
TIME = np.arange(SAMPLES) / RATE


@dataclass(frozen=True)
class Sound:
    """A sound of the page.

    Attributes:
        name: of its file.
        title: what is heard.
        origin: where it comes from, with its licence.
        make: gives its samples at ``RATE``: (samples,).
    """

    name: str
    title: str
    origin: str
    make: Callable[[], np.ndarray]


def plucks(pitches: tuple[float, ...]) -> np.ndarray:
    """Plucked strings, one after the other (Karplus and Strong, 1983)."""
    sound, generator = np.zeros(SAMPLES), np.random.default_rng(0)
    for number, hertz in enumerate(pitches):
        start = number * SAMPLES // len(pitches)
        period = round(RATE / hertz)
        string = generator.uniform(-1, 1, SAMPLES - start)
        for first in range(period, len(string), period):
            before = string[first - period : first]
            part = 0.498 * (before + np.roll(before, 1))
            string[first : first + period] = part[: len(string) - first]
        sound[start:] += string
    return sound


def beats(rate: float, tone: float) -> np.ndarray:
    """A drum, so many strokes a second: a falling tone and a burst of noise."""
    noise = np.random.default_rng(1).standard_normal(SAMPLES)
    since = TIME % (1 / rate)
    fall = tone * (since + 0.03 * (1 - np.exp(-since / 0.03)))
    return np.exp(-since / 0.09) * np.sin(2 * np.pi * fall) + 0.3 * np.exp(-since / 0.02) * noise


def wind(cutoff: float, gust: float) -> np.ndarray:
    """Noise below a frequency that swells."""
    spectrum = np.fft.rfft(np.random.default_rng(2).standard_normal(SAMPLES))
    spectrum *= 1 / (1 + (np.fft.rfftfreq(SAMPLES, 1 / RATE) / cutoff) ** 2)
    return np.fft.irfft(spectrum, SAMPLES) * (1.2 + np.sin(2 * np.pi * gust * TIME))


def rain(drops: int) -> np.ndarray:
    """Many short clicks at random."""
    generator = np.random.default_rng(3)
    clicks = np.zeros(SAMPLES)
    clicks[generator.integers(0, SAMPLES, drops)] = generator.exponential(1, drops)
    ring = np.exp(-np.arange(160) / 25) * np.sin(2 * np.pi * 3200 * np.arange(160) / RATE)
    return np.convolve(clicks, ring)[:SAMPLES]


def bells() -> np.ndarray:
    """Three bells by frequency modulation (Chowning, 1973)."""
    sound = np.zeros(SAMPLES)
    for start, hertz in ((0.0, 660.0), (0.35, 880.0), (0.7, 990.0)):
        since = np.maximum(TIME - start, 0)
        index = 4 * np.exp(-since / 0.6)
        ring = np.sin(2 * np.pi * hertz * since + index * np.sin(2 * np.pi * 1.4 * hertz * since))
        sound += (since > 0) * np.exp(-since / 0.7) * ring
    return sound


def voice(name: str, words: str) -> np.ndarray:
    """Words spoken by espeak-ng."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "voice.wav"
        run(["espeak-ng", "-v", name, "-w", str(path), "--", words])
        samples, rate = soundfile.read(path)
    return soxr.resample(samples, rate, RATE)[:SAMPLES]


def example() -> np.ndarray:
    """The recording that comes with the package."""
    samples, rate = soundfile.read(EXAMPLE, always_2d=True)
    return soxr.resample(samples.mean(1), rate, RATE)[:SAMPLES]


FORMULA = "by a formula of evaluation/reports/listening_sounds.py (CC0-1.0)"
SPOKEN = "our own words, spoken by espeak-ng {} (CC0-1.0)"
WORDS = "Ten sounds, and what is nearest to each of them by every model."
LOW, HIGH = (110.0, 146.8, 130.8, 98.0), (440.0, 587.3, 523.3, 392.0)
SOUNDS = (
    Sound("low-strings", "low plucked strings", FORMULA, lambda: plucks(LOW)),
    Sound("high-strings", "high plucked strings", FORMULA, lambda: plucks(HIGH)),
    Sound("slow-drum", "a slow drum", FORMULA, lambda: beats(2, 90)),
    Sound("fast-drum", "a fast, higher drum", FORMULA, lambda: beats(5, 160)),
    Sound("wind", "wind", FORMULA, lambda: wind(400, 0.4)),
    Sound("rain", "rain", FORMULA, lambda: rain(2500)),
    Sound("chime", "three chimes", '"Ede" of Lomiri\'s sounds (CC0-1.0), docs/example.ogg', example),
    Sound("bells", "three bells", FORMULA, bells),
    Sound("deep-voice", "a deep voice", SPOKEN.format("en+m3"), lambda: voice("en+m3", WORDS)),
    Sound("high-voice", "a high voice", SPOKEN.format("en+f2"), lambda: voice("en+f2", WORDS)),
)
