"""Synthetic sounds that are their own definition: what ``synth`` makes, by name and with labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from corpora.synthesis.keys import HIGHEST, LOWEST, label_of

from . import synth
from .draws import chance, log_uniform, uniform
from .synth import Source


@dataclass(frozen=True)
class Plain:
    """A kind of synthetic sound and its labels."""

    make: Source
    tags: tuple[str, ...]


def coloured(low: float, high: float) -> Source:
    """Noise whose power falls as f^-s, with s between these."""

    def make(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
        column = (batch, 1)
        none, slope = torch.zeros(column, device=generator.device), uniform(low, high, column, generator)
        return synth.shaped_noise(slope, none, none + torch.inf, none + 1, samples, sample_rate, generator)

    return make


def band(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """White noise between two steep edges, at most an octave apart."""
    column = (batch, 1)
    middle = log_uniform(150.0, 0.35 * sample_rate, column, generator)
    half = 2.0 ** uniform(0.05, 0.5, column, generator)
    flat, order = torch.zeros(column, device=generator.device), uniform(6.0, 16.0, column, generator)
    return synth.shaped_noise(flat, middle / half, middle * half, order, samples, sample_rate, generator)


PLAIN: dict[str, Plain] = {
    "tones": Plain(synth.tones, ("tone",)),
    "chirps": Plain(synth.chirps, ("sweep",)),
    "fm": Plain(synth.fm, ("frequency modulation",)),
    "clicks": Plain(synth.clicks, ("impulses",)),
    "plucks": Plain(synth.plucks, ("plucked string",)),
    "white": Plain(coloured(-0.15, 0.15), ("noise", "white noise")),
    "pink": Plain(coloured(0.85, 1.15), ("noise", "pink noise")),
    "brown": Plain(coloured(1.8, 2.2), ("brown noise", "noise")),
    "band": Plain(band, ("band noise", "noise")),
}


def note(key: int) -> Source:
    """A note of a key, MIDI's number, in tune to 20 cents: a string that is plucked, or a harmonic tone."""

    def make(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
        cents = uniform(-20.0, 20.0, (batch, 1), generator)
        pitch = 440.0 * 2.0 ** ((key - 69 + cents / 100.0) / 12.0)
        plucked = synth.strings(pitch, samples, sample_rate, generator)
        sung = synth.harmonic(pitch, samples, sample_rate, generator, sway=0.015)
        return torch.where(chance(0.3, (batch, 1), generator), plucked, sung)

    return make


# Notes, for sets whose recordings have labels of keys too.
NOTES = {label_of(key): Plain(note(key), (label_of(key),)) for key in range(LOWEST, HIGHEST + 1)}


def plain(name: str, batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Clips of one kind, with random envelopes and levels, (batch, samples)."""
    make = (PLAIN.get(name) or NOTES[name]).make
    return synth.finished(make(batch, samples, sample_rate, generator), sample_rate, generator)
