"""Solos with labels: one voice, one instrument or one drum a file.

The command ``corpora.synthesis.render --solos`` renders them. Voices, programs and keys in ``HELD_OUT`` go into the
folder ``valid``, all others into ``train``: validation uses only voices and instruments that training never heard.
"""

import math
import random
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .compose import FAMILIES, MODES
from .midi import DRUMS, TICKS, Note, Tempo, write
from .players import play
from .speakers import Speech

SECONDS = 10.0  # of a file
KINDS = ("voice", "notes", "strokes")
LANGUAGES = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese",
    "nl": "dutch", "pl": "polish", "sv": "swedish", "fi": "finnish", "ru": "russian", "tr": "turkish", "cs": "czech",
}  # fmt: skip
ACCENTS = {"en": ("en-us", "en-gb", "en-gb-scotland", "en-029"), "fr": ("fr-fr", "fr-be"), "pt": ("pt", "pt-br")}
VOICES = {
    "male voice": ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "klatt", "klatt3"),
    "female voice": ("f1", "f2", "f3", "f4", "f5"),
    "whisper": ("whisper", "whisperf"),
}
PLAYED = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13)  # families whose programs are instruments
REGISTERS = {"low notes": (28, 47), "middle notes": (48, 71), "high notes": (72, 95)}  # keys
STROKES = {
    "kick drum": (35, 36),
    "snare drum": (38, 40),
    "hi-hat": (42, 44, 46),
    "tom": (41, 43, 45, 47, 48, 50),
    "cymbal": (49, 51, 52, 55, 57, 59),
    "hand percussion": (54, 56, 60, 61, 62, 63, 64, 65, 67, 69, 70, 75, 76),
}
HELD_OUT = {
    "voice": {"m3", "m7", "f2", "f5", "whisperf"},
    "notes": {
        str(8 * family + offset) for family in PLAYED for offset in (2, 5)
    },  # two programs of each family's eight
    "strokes": {"35", "40", "44", "47", "50", "57", "59", "56", "61", "65", "75"},
}


@dataclass(frozen=True)
class Solo:
    """A file to render."""

    kind: str
    path: str  # inside the folder: train or valid, kind, voice or program or key, number
    seed: int
    variant: str
    tags: tuple[str, ...]

    def source(self, bank: Path | None) -> "SpokenSolo | NoteSolo | StrokeSolo":
        """The file's content, chosen but not yet rendered."""
        if self.kind == "voice":
            return SpokenSolo(self)
        assert bank
        return NoteSolo(self, bank) if self.kind == "notes" else StrokeSolo(self, bank)


def plan(hours: float, seed: int) -> list[Solo]:
    """All files of a run. The three kinds have equal shares of the hours; within a kind the classes alternate."""
    count = math.ceil(hours * 3600 / len(KINDS) / SECONDS - 1e-6)
    return [solo(kind, number, seed) for kind in KINDS for number in range(count)]


def solo(kind: str, number: int, seed: int) -> Solo:
    """The file of a number. Classes alternate, so that even a few files cover all of them."""
    rng = random.Random(f"{seed}/solo/{kind}/{number}")
    if kind == "voice":
        language = list(LANGUAGES)[number % len(LANGUAGES)]
        voice = list(VOICES)[(number // len(LANGUAGES)) % 5 % 3]  # whispered a fifth of the time
        variant = rng.choice(VOICES[voice])
        tags: tuple[str, ...] = ("speech", LANGUAGES[language], voice)
        name = f"{language}-"
    elif kind == "notes":
        family, register = PLAYED[number % len(PLAYED)], list(REGISTERS)[number // len(PLAYED) % 3]
        variant = str(8 * family + rng.randrange(8))
        tags = ("music", FAMILIES[family], register)
        name = f"{register.split()[0]}-"
    else:
        stroke = list(STROKES)[number % len(STROKES)]
        variant = str(rng.choice(STROKES[stroke]))
        tags, name = ("drums", stroke), ""
    split = "valid" if variant in HELD_OUT[kind] else "train"
    path = f"{split}/{kind}/{variant}/{name}{seed}-{number:06d}.flac"
    return Solo(kind, path, rng.getrandbits(48), variant, tags)


class SpokenSolo(Speech):
    """Speech of a given voice in a given language."""

    def __init__(self, solo: Solo) -> None:
        super().__init__(solo.seed, SECONDS)
        code = next(code for code, language in LANGUAGES.items() if language in solo.tags)
        self.program, self.label = "espeak-ng", ";".join(solo.tags)
        self.language = self.rng.choice(ACCENTS.get(code, (code,)))
        self.name = f"{self.language}+{solo.variant}"
        self.pitch, self.speed = self.rng.randint(20, 80), self.rng.randint(120, 220)
        self.voice = f"espeak-ng {self.name} pitch={self.pitch} speed={self.speed}"


class PlayedSolo:
    """Notes that fluidsynth plays through a bank."""

    def __init__(self, solo: Solo, bank: Path) -> None:
        self.solo, self.bank, self.label = solo, bank, ";".join(solo.tags)
        self.voice = f"{solo.kind} {solo.variant}"

    def midi(self, rng: random.Random) -> bytes:
        """The notes as a MIDI file."""
        raise NotImplementedError

    def render(self, folder: Path, sample_rate: int) -> Tensor:
        """The clip, (samples,); ``folder`` is for temporary files."""
        rng = random.Random(self.solo.seed)
        audio = play(self.midi(rng), self.bank, rng.random() < 0.5, folder, sample_rate)
        return audio[: round(SECONDS * sample_rate)]


class NoteSolo(PlayedSolo):
    """One instrument in one register: single notes or chords of a scale, at any pace."""

    def midi(self, rng: random.Random) -> bytes:
        register = next(tag for tag in self.solo.tags if tag in REGISTERS)
        low, high = REGISTERS[register]
        root, scale = rng.randrange(12), rng.choice(list(MODES.values()))
        keys = [key for key in range(low, high + 1) if (key - root) % 12 in scale]
        beats, chord, legato = rng.uniform(50, 180), rng.choice((1, 1, 1, 2, 3)), rng.uniform(0.5, 1.1)
        degree, now, notes = rng.randrange(len(keys)), 0, []
        end = int(SECONDS * beats / 60 * TICKS)
        while now < end:
            length = int(TICKS * rng.choice((0.25, 0.5, 0.5, 1, 1, 2)))
            degree = min(max(degree + rng.randint(-3, 3), 0), len(keys) - 1)
            for voice in range(chord):
                key = keys[min(degree + 2 * voice, len(keys) - 1)]
                notes.append(Note(now, max(1, int(length * legato)), 0, key, rng.randint(50, 115)))
            now += length
        return write([Tempo(0, beats)], {0: int(self.solo.variant)}, list(dict.fromkeys(notes)), end)


class StrokeSolo(PlayedSolo):
    """One drum of a kit, in a rhythm or at random."""

    def midi(self, rng: random.Random) -> bytes:
        beats, odds = rng.uniform(60, 180), rng.uniform(0.2, 0.9)
        end = int(SECONDS * beats / 60 * TICKS)
        step = TICKS // rng.choice((1, 2, 2, 4))
        starts = [now for now in range(0, end, step) if now == 0 or rng.random() < odds]
        notes = [Note(now, step // 2, DRUMS, int(self.solo.variant), rng.randint(55, 120)) for now in starts]
        return write([Tempo(0, beats)], {}, notes, end)
