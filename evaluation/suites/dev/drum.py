"""Task: the class of a drum stroke, from General MIDI kits and synthesised kits; each fold has its own kits."""

from collections.abc import Iterator

import numpy as np

from ...tasks.write import Clip
from . import drum_synthesis
from .library import share
from .material import Material
from .notes import NoteKey, play
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
# kits of each fold; those of the gm bank share most samples, so they are in one fold
FOLDS = {
    "fold00": ("opl3-0",),
    "fold01": ("gm-0", "gm-25", "gm-16", "gm-24"),
    "fold02": ("computed-1", "computed-2", "computed-3"),
    "fold03": ("computed-4", "computed-5", "computed-6"),
}
STROKES = 15  # of each class in a fold
SECONDS = 1.5


def clips(material: Material) -> Iterator[Clip]:
    """Equally many strokes of each class in each fold, with random pitch, velocity and damping."""
    for fold, kits in FOLDS.items():
        strokes = [(label, number, kits[number % len(kits)]) for label in KEYS for number in range(STROKES)]
        sampled = {
            (label, number, kit): _note_key(kit, label, number)
            for label, number, kit in strokes
            if not kit.startswith("computed")
        }
        sounds = play(list(sampled.values()), material.banks, material.work, SECONDS)
        for stroke in strokes:
            label, number, kit = stroke
            if stroke in sampled:
                sound = sounds[sampled[stroke]]
            else:
                sound = drum_synthesis.stroke(label, int(kit.split("-")[1]), number, SECONDS)
            tuned = retuned(sound, 2 ** (8 / 12 * (share("tune", *stroke) - 0.5)))
            pcm = finish(cut(tuned, 0.0, 0.25 + 1.2 * share("damp", *stroke)))
            yield Clip(fold, f"{label}-{kit}-{number:02d}", pcm, [label], kit)


def _note_key(kit: str, label: str, number: int) -> NoteKey:
    """A key of the class; a kit's strokes cycle through the keys."""
    bank, program = kit.split("-")
    key = KEYS[label][number // 4 % len(KEYS[label])]
    return NoteKey(bank, int(program), key, 50 + int(77 * share("velocity", kit, label, number)), drum=True)


def retuned(samples: np.ndarray, ratio: float) -> np.ndarray:
    """Resamples to another pitch, as a sampler does."""
    places = np.arange(0, len(samples) - 1, ratio)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
