"""Clips as a worse microphone in a room would have them: with reverberation, and with noise."""

import numpy as np

from .recordings import Library
from .signals import RATE, rms

NOISES = ("white", "pink", "babble")
TALK = "codec2-examples"  # speech that no task uses
TALKERS = 8
SHORTEST, LONGEST = 0.2, 0.8  # seconds in which a room's echo fades by 60 dB
NEAREST, FARTHEST = 10.0, 0.0  # dB of the direct sound over all echoes
FIRST = 0.005  # seconds until the first echo


def reverberant(samples: np.ndarray, turn: np.random.RandomState) -> np.ndarray:
    """In a random room, at the clip's length: echoes are noise that fades, the direct sound stays in its place."""
    seconds = SHORTEST + turn.random_sample() * (LONGEST - SHORTEST)
    decibels = NEAREST + turn.random_sample() * (FARTHEST - NEAREST)
    times = np.arange(round(seconds * RATE)) / RATE
    echoes = turn.standard_normal(len(times)) * 10 ** (-3 * times / seconds) * (times >= FIRST)
    echoes *= 10 ** (-decibels / 20) / np.sqrt(np.square(echoes).sum())
    size = len(samples) + len(echoes)
    room = np.fft.rfft(echoes, size)
    return samples + np.fft.irfft(np.fft.rfft(samples, size) * room, size)[: len(samples)]


def noisy(samples: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """With noise over the whole clip, so many dB below the sound. Silence that only fills a clip up is no sound."""
    heard = np.flatnonzero(samples)
    if not len(heard) or not rms(noise):
        return samples
    level = rms(samples[heard[0] : heard[-1] + 1])
    return samples + noise * (level * 10 ** (-decibels / 20) / rms(noise))


def noise(kind: str, length: int, turn: np.random.RandomState, talk: np.ndarray) -> np.ndarray:
    """White noise, pink noise (as much power in every octave), or eight stretches of talk at once."""
    if kind == "babble":
        starts = turn.randint(len(talk), size=TALKERS)
        return sum((talk.take(range(start, start + length), mode="wrap") for start in starts), np.zeros(length))
    white = turn.standard_normal(length)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, length)


def talk(library: Library) -> np.ndarray:
    """Speech for babble, every recording at one loudness."""
    found = [recording.samples() for recording in library.of(TALK)]
    return np.concatenate([samples / rms(samples) for samples in found])
