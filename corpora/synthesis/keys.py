"""Single notes, one a file, labelled by their key. The command ``corpora.synthesis.render --keys`` renders them.

Programs that ``solos`` holds out go into the folder ``valid`` here too.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .compose import FAMILIES
from .midi import TICKS, Note, Tempo, write
from .players import play
from .solos import HELD_OUT, PLAYED, REGISTERS

SECONDS = 1.5  # of a file
LOWEST, HIGHEST = 28, 95  # keys


def label_of(key: int) -> str:
    """The label of a key, MIDI's number."""
    return f"note {key}"


@dataclass(frozen=True)
class Key:
    """A file to render."""

    path: str  # inside the folder: train or valid, kind, program, number
    seed: int
    program: int
    key: int
    kind: str = "key"

    def source(self, bank: Path | None) -> "PlayedKey":
        """The file's content, chosen but not yet rendered."""
        assert bank
        return PlayedKey(self, bank)


def plan(hours: float, seed: int) -> list[Key]:
    """All files of a run; the keys alternate."""
    return [key(number, seed) for number in range(round(hours * 3600 / SECONDS))]


def key(number: int, seed: int) -> Key:
    """The file of a number."""
    rng = random.Random(f"{seed}/key/{number}")
    program = 8 * rng.choice(PLAYED) + rng.randrange(8)
    split = "valid" if str(program) in HELD_OUT["notes"] else "train"
    path = f"{split}/key/{program}/{seed}-{number:06d}.flac"
    return Key(path, rng.getrandbits(48), program, LOWEST + number % (HIGHEST - LOWEST + 1))


class PlayedKey:
    """A note of some length and strength, dry or with reverberation."""

    def __init__(self, key: Key, bank: Path) -> None:
        self.key, self.bank = key, bank
        register = next(name for name, (low, high) in REGISTERS.items() if low <= key.key <= high)
        self.label = ";".join(("music", FAMILIES[key.program // 8], register, label_of(key.key)))
        self.voice = f"program {key.program}"

    def render(self, folder: Path, sample_rate: int) -> Tensor:
        """The clip, (samples,); ``folder`` is for temporary files."""
        rng = random.Random(self.key.seed)
        end = int(SECONDS * 2 * TICKS)  # two quarters a second
        note = Note(0, int(rng.uniform(0.2, 1.0) * end), 0, self.key.key, rng.randint(50, 120))
        midi = write([Tempo(0, 120.0)], {0: self.key.program}, [note], end)
        audio = play(midi, self.bank, rng.random() < 0.5, folder, sample_rate)
        return audio[: round(SECONDS * sample_rate)]
