"""Task: the number of simultaneous speakers, zero to three. The test has other speakers than training."""

import random
import re
from collections.abc import Iterator

import numpy as np

from ...tasks.write import RATE, Clip
from .library import Recording, rank, splits
from .material import Material
from .sound import finish, trim
from .speaker import who_says_what

SECONDS = 4.0
MOST = 3  # at once
MIXTURES = {"train": 100, "valid": 20, "test": 80}  # of each count
PACKAGES = ("festvox-ru", "fillets-ng-data-cs", "fillets-ng-data-nl", "flight-of-the-amazon-queen")
TEST = re.compile("festvox-ru|-nl-|-(03|08|12|33)$")  # speakers
NOISE = 10 ** (-30 / 20)  # relative to one voice
LONG = 1.5  # shortest line in seconds


def clips(material: Material) -> Iterator[Clip]:
    """Mixtures of equally loud voices over faint noise. Each voice starts within the first second."""
    for split, mixtures in MIXTURES.items():
        lines = lines_of(material, split)
        for count in range(MOST + 1):
            for number in range(mixtures):
                rng = random.Random(rank("count", split, count, number))
                speakers = rng.sample(sorted(lines), count)
                mixed = noise(rng)
                for speaker in speakers:
                    start = round(rng.uniform(0.0, 1.0) * RATE)
                    voice = level(material.library.pcm(rng.choice(lines[speaker])))[: len(mixed) - start]
                    mixed[start : start + len(voice)] += voice
                group = "+".join(speakers) or f"nobody-{split}-{number}"
                yield Clip(split, f"{split}-{count}-{number:03d}", finish(mixed), [str(count)], group)


def lines_of(material: Material, split: str) -> dict[str, list[Recording]]:
    """The lines of each speaker of a split. A tenth of the training speakers' lines is for validation."""
    lines: dict[str, list[Recording]] = {}
    for recording in material.library.of(*PACKAGES):
        if not (speaker_and_words := who_says_what(recording)) or recording.seconds < LONG:
            continue
        side = "test" if TEST.search(speaker_and_words[0]) else splits((recording.key,), False)
        if side == split:
            lines.setdefault(speaker_and_words[0], []).append(recording)
    return lines


def level(samples: np.ndarray) -> np.ndarray:
    """Trims silence and scales to an RMS of one."""
    spoken = trim(samples).astype(np.float32)
    return spoken / np.sqrt(np.mean(spoken**2) + 1e-9)


def noise(rng: random.Random) -> np.ndarray:
    """White noise of a clip's length."""
    draws = np.random.RandomState(rng.getrandbits(32))
    return (NOISE * draws.standard_normal(round(SECONDS * RATE))).astype(np.float32)
