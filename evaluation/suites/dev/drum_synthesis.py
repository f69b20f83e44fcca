"""Synthesised drum strokes in the manner of drum machines, as free SoundFonts hold few kits.

A kit draws its tuning, decays and filters once. A stroke varies them slightly.
"""

import random
from collections.abc import Callable

import numpy as np
import torch

from hear_audioformer import audio

from .sound import RATE

INNER = 48000  # Hz of the synthesis: square waves alias less than at 16 kHz
Drum = Callable[[random.Random, random.Random, np.ndarray], np.ndarray]  # kit, stroke, time -> samples


def stroke(label: str, kit: int, number: int, seconds: float) -> np.ndarray:
    """float32 samples at 16 kHz, from the onset."""
    time = np.arange(round(seconds * INNER)) / INNER
    samples = DRUMS[label](random.Random(f"{kit}/{label}"), random.Random(f"{kit}/{label}/{number}"), time)
    return audio.resample(torch.from_numpy(samples.astype(np.float32)), INNER, RATE).numpy()


def _kick(kit_rng: random.Random, stroke_rng: random.Random, time: np.ndarray) -> np.ndarray:
    low, high = kit_rng.uniform(42, 65) * stroke_rng.uniform(0.96, 1.04), kit_rng.uniform(100, 350)
    body = _swept(time, low, high, kit_rng.uniform(0.015, 0.05)) * _decay(time, kit_rng.uniform(0.08, 0.35))
    return body + kit_rng.uniform(0.05, 0.5) * _noise(stroke_rng, time, 800, 6000) * _decay(time, 0.004)


def _snare(kit_rng: random.Random, stroke_rng: random.Random, time: np.ndarray) -> np.ndarray:
    tone = kit_rng.uniform(150, 230) * stroke_rng.uniform(0.97, 1.03)
    body = sum(_swept(time, tone * ratio, tone * ratio * 1.2, 0.01) for ratio in (1.0, kit_rng.uniform(1.5, 1.9)))
    wires = _noise(stroke_rng, time, kit_rng.uniform(600, 2000), kit_rng.uniform(6000, 12000)) * _decay(
        time, kit_rng.uniform(0.05, 0.16)
    )
    return kit_rng.uniform(0.2, 0.8) * body * _decay(time, kit_rng.uniform(0.03, 0.1)) + wires


def _rim(kit_rng: random.Random, stroke_rng: random.Random, time: np.ndarray) -> np.ndarray:
    tone = kit_rng.uniform(400, 900) * stroke_rng.uniform(0.98, 1.02)
    body = _swept(time, tone, tone, 1.0) + 0.8 * _swept(time, tone * kit_rng.uniform(2.2, 3.6), tone * 3, 0.01)
    return body * _decay(time, kit_rng.uniform(0.01, 0.03)) + 0.3 * _noise(stroke_rng, time, 1500, 8000) * _decay(
        time, 0.003
    )


def _clap(kit_rng: random.Random, stroke_rng: random.Random, time: np.ndarray) -> np.ndarray:
    centre = kit_rng.uniform(900, 1600)
    envelope = kit_rng.uniform(0.3, 0.7) * _decay(time, kit_rng.uniform(0.05, 0.15))
    start = 0.0
    for _ in range(kit_rng.randint(3, 4)):
        envelope = envelope + np.where(time >= start, _decay(time - start, 0.005), 0.0)
        start += stroke_rng.uniform(0.008, 0.014)
    return _noise(stroke_rng, time, centre / 1.6, centre * kit_rng.uniform(1.6, 3.0)) * envelope


def _tom(kit_rng: random.Random, stroke_rng: random.Random, time: np.ndarray) -> np.ndarray:
    tone = stroke_rng.choice((80, 105, 140, 180)) * kit_rng.uniform(0.9, 1.15)
    body = _swept(time, tone, tone * kit_rng.uniform(1.1, 1.8), 0.05) * _decay(time, kit_rng.uniform(0.12, 0.4))
    return body + kit_rng.uniform(0.02, 0.2) * _noise(stroke_rng, time, 300, 4000) * _decay(time, 0.02)


def _hand(kit_rng: random.Random, stroke_rng: random.Random, time: np.ndarray) -> np.ndarray:
    tone = stroke_rng.choice((190, 260, 340, 430)) * kit_rng.uniform(0.9, 1.15)
    body = _swept(time, tone, tone * 1.05, 0.02) + kit_rng.uniform(0.1, 0.5) * _swept(time, tone * 1.6, tone * 1.6, 1.0)
    slap = kit_rng.uniform(0.1, 0.4) * _noise(stroke_rng, time, 1000, 5000) * _decay(time, 0.008)
    return body * _decay(time, kit_rng.uniform(0.04, 0.14)) + slap


def _metal(low: float, decays: tuple[float, float], ping: float) -> Drum:
    """Cymbals: high-passed square waves at inharmonic ratios, and noise; ``ping`` adds the stick's tone."""

    def generate(kit_rng: random.Random, stroke_rng: random.Random, time: np.ndarray) -> np.ndarray:
        base = kit_rng.uniform(300, 500)
        ratios = [kit_rng.uniform(1.0, 3.2) for _ in range(6)]
        squares = np.sum(
            [np.sign(np.sin(2 * np.pi * base * ratio * time + stroke_rng.random())) for ratio in ratios], axis=0
        )
        edge = low * kit_rng.uniform(0.8, 1.4)
        wash = _band(squares, edge, 20000) * kit_rng.uniform(0.1, 0.5) + _noise(stroke_rng, time, edge, 20000)
        bell = ping * _swept(time, base * 9, base * 9, 1.0) * _decay(time, 0.25)
        return wash * _decay(time, kit_rng.uniform(*decays) * stroke_rng.uniform(0.9, 1.1)) + bell

    return generate


DRUMS: dict[str, Drum] = {
    "kick": _kick,
    "snare": _snare,
    "rim": _rim,
    "clap": _clap,
    "tom": _tom,
    "hihat-closed": _metal(4500, (0.015, 0.04), 0.0),
    "hihat-open": _metal(4500, (0.12, 0.3), 0.0),
    "crash": _metal(1500, (0.35, 0.7), 0.0),
    "ride": _metal(3000, (0.25, 0.6), 0.6),
    "hand-drum": _hand,
}


def _decay(time: np.ndarray, constant: float) -> np.ndarray:
    return np.exp(-np.maximum(time, 0.0) / constant)


def _swept(time: np.ndarray, low: float, high: float, constant: float) -> np.ndarray:
    """A sine sweep from a high frequency down to a low one."""
    cycles = low * time + (high - low) * constant * (1 - np.exp(-time / constant))
    return np.sin(2 * np.pi * cycles)


def _noise(stroke_rng: random.Random, time: np.ndarray, low: float, high: float) -> np.ndarray:
    return _band(np.random.RandomState(stroke_rng.getrandbits(32)).standard_normal(len(time)), low, high)


def _band(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Second-order band-pass in the frequency domain, normalised to an RMS of one."""
    frequency = np.fft.rfftfreq(len(samples), 1 / INNER) + 1e-3
    gain = 1 / np.sqrt((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 4))
    filtered = np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))
    return filtered / max(float(np.sqrt(np.mean(filtered**2))), 1e-9)
