"""Degradation of clips by reverberation and noise."""

import numpy as np

from .recordings import Library
from .signals import RATE, rms

NOISES = ("white", "pink", "babble")
TALK = "codec2-examples"  # speech that no task uses
TALKERS = 8
SHORTEST, LONGEST = 0.2, 0.8  # reverberation time (RT60) in seconds
NEAREST, FARTHEST = 10.0, 0.0  # direct-to-reverberant ratio in dB
FIRST = 0.005  # seconds until the first reflection


def reverberant(samples: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Adds the reverberation of a random room: decaying noise, convolved with the clip. Keeps the clip's length."""
    seconds = SHORTEST + rng.random_sample() * (LONGEST - SHORTEST)
    decibels = NEAREST + rng.random_sample() * (FARTHEST - NEAREST)
    times = np.arange(round(seconds * RATE)) / RATE
    echoes = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds) * (times >= FIRST)
    echoes *= 10 ** (-decibels / 20) / np.sqrt(np.square(echoes).sum())
    size = len(samples) + len(echoes)
    room = np.fft.rfft(echoes, size)
    return samples + np.fft.irfft(np.fft.rfft(samples, size) * room, size)[: len(samples)]


def noisy(samples: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Adds noise at a signal-to-noise ratio in dB. Digital silence at both ends does not count as signal."""
    heard = np.flatnonzero(samples)
    if not len(heard) or not rms(noise):
        return samples
    level = rms(samples[heard[0] : heard[-1] + 1])
    return samples + noise * (level * 10 ** (-decibels / 20) / rms(noise))


def noise(kind: str, length: int, rng: np.random.RandomState, talk: np.ndarray) -> np.ndarray:
    """White noise, pink noise (equal power in every octave), or babble of eight overlaid segments of speech."""
    if kind == "babble":
        starts = rng.randint(len(talk), size=TALKERS)
        return sum((talk.take(range(start, start + length), mode="wrap") for start in starts), np.zeros(length))
    white = rng.standard_normal(length)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, length)


def talk(library: Library) -> np.ndarray:
    """Speech for babble; every recording has an RMS of one."""
    recordings = [recording.samples() for recording in library.of(TALK)]
    return np.concatenate([samples / rms(samples) for samples in recordings])
