"""Drum strokes of General MIDI's drum channel, on kits that were not heard in training."""

from collections.abc import Iterator

import numpy as np

from evaluation.hear_format import Clip

from .library import share
from .material import Material
from .notes import Played, play
from .sound import cut, finish

KEYS = {
    "kick": (35, 36),
    "snare": (38, 40),
    "rim": (37,),
    "clap": (39,),
    "tom": (41, 43, 45, 47, 48, 50),
    "hihat-closed": (42, 44),
    "hihat-open": (46,),
    "crash": (49, 57),
    "ride": (51, 59),
    "hand-drum": (60, 61, 62, 63, 64),
}
# kits by fold: of the GM bank by their program, and the one of OPL-3
KITS = (
    (("opl3", 0),),
    (("gm", 24), ("gm", 25)),
    (("gm", 0), ("gm", 32)),
    (("gm", 16), ("gm", 8)),
    (("gm", 48), ("gm", 40), ("gm", 127)),
)
FOLDS = tuple(f"fold{number:02d}" for number in range(len(KITS)))
STROKES = 12  # of each class in a fold
SECONDS = 1.5


def clips(material: Material) -> Iterator[Clip]:
    """As many strokes of each class in each fold, each tuned, struck and damped in its own way."""
    for fold, kits in zip(FOLDS, KITS, strict=True):
        strokes: list[tuple[str, int, Played]] = []
        for label, keys in KEYS.items():
            for number in range(STROKES):
                bank, kit = kits[number % len(kits)]
                key = keys[number // len(kits) % len(keys)]
                velocity = 50 + int(77 * share("velocity", fold, label, number))
                strokes.append((label, number, Played(bank, kit, key, velocity, drum=True)))
        sounds = play([stroke for _, _, stroke in strokes], material.banks, material.work, SECONDS)
        for label, number, stroke in strokes:
            tuned = retuned(sounds[stroke], 2 ** (8 / 12 * (share("tune", fold, label, number) - 0.5)))
            length = 0.25 + 1.2 * share("damp", fold, label, number)
            group = f"{stroke.bank}-{stroke.program:03d}"
            yield Clip(fold, f"{label}-{fold}-{number:02d}", finish(cut(tuned, 0.0, length)), [label], group)


def retuned(samples: np.ndarray, ratio: float) -> np.ndarray:
    """Played faster or slower, as a sampler does."""
    places = np.arange(0, len(samples) - 1, ratio)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
