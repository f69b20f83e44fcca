"""Task 10: speech or music. Scores are near the ceiling; the task is a sanity check."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ...tasks.write import Clip
from . import asterisk
from .languages import language
from .plan import Plan, scene
from .recordings import Library, Recording
from .signals import RATE, cut, drawn, generator, low_passed, normalised, rms

SECONDS = 2.5
CROPS = 1000  # of a class and side; about a tenth of the training side is for validation
QUIET = 0.1  # share of a piece's RMS: softer crops are pauses
PIECE = 25.0  # shortest piece in seconds: a package's effects and voices are shorter
TRAIN_SPEECH = ("tuxpaint-stamps-default", "ktuberling-data")
TRAIN_MUSIC = ("hedgewars-data", "marsshooter-data")
TEST_MUSIC = ("drascula-music", "asterisk-moh-opsound", "hyperrogue-music")


class Crop(NamedTuple):
    """A crop, and its source: a voice or a piece of music."""

    samples: np.ndarray
    source: str


def pieces(library: Library, *packages: str) -> list[Recording]:
    """The pieces of music in packages."""
    return [recording for recording in library.of(*packages) if recording.seconds > PIECE]


def speech(library: Library, packages: tuple[str, ...], voice: Callable[[Recording], str]) -> Iterator[Crop]:
    """Crops of concatenated words of one voice. Voices alternate; a word repeats only after all others."""
    said: dict[str, list[Recording]] = {}
    for recording in library.of(*packages):
        if name := voice(recording):
            said.setdefault(name, []).append(recording)
    words = {
        name: itertools.cycle([recordings[index] for index in generator("speech", name).permutation(len(recordings))])
        for name, recordings in sorted(said.items())
    }
    for name in itertools.islice(itertools.cycle(words), CROPS):
        samples = np.zeros(0, np.float32)
        while len(samples) < SECONDS * RATE:
            samples = np.concatenate([samples, next(words[name]).samples()])
        yield Crop(cut(samples, SECONDS), name)


def music(library: Library, packages: tuple[str, ...]) -> Iterator[Crop]:
    """Crops at random positions without pauses; longer pieces give more crops."""
    tracks = pieces(library, *packages)
    ends = np.cumsum([piece.seconds for piece in tracks])
    rng = generator("music", *packages)
    draws = rng.random_sample((CROPS, 2))
    chosen = np.searchsorted(ends, draws[:, 0] * ends[-1], side="right")
    for index in np.unique(chosen):
        samples = tracks[index].samples()
        for position in draws[chosen == index, 1]:
            yield Crop(_stretch(samples, position), tracks[index].key)


def _stretch(samples: np.ndarray, position: float) -> np.ndarray:
    """The segment at a position in [0, 1), or the next one that is no pause."""
    length, loud = round(SECONDS * RATE), QUIET * rms(samples)
    starts = np.arange(0, len(samples) - length, length)
    for start in (starts + int(position * (len(samples) - length))) % (len(samples) - length):
        if rms(samples[start : start + length]) >= loud:
            break
    return samples[start : start + length]


def _reader(recording: Recording) -> str:
    """The voice of a word: one for each package and language, as paths do not name the reader."""
    code = language(recording)
    return f"{recording.package}/{code}" if code else ""


def _clips(library: Library) -> Iterator[Clip]:
    sides = (
        ("train", "speech", speech(library, TRAIN_SPEECH, _reader)),
        ("train", "music", music(library, TRAIN_MUSIC)),
        ("test", "speech", speech(library, asterisk.PACKAGES, asterisk.voice)),
        ("test", "music", music(library, TEST_MUSIC)),
    )
    for side, label, generated in sides:
        crops = list(generated)
        sources = {crop.source for crop in crops}
        valid = drawn(sources, -(-len(sources) // 10), "speech_music") if side == "train" else ()
        for index, (samples, source) in enumerate(crops):
            split = "valid" if source in valid else side
            yield Clip(split, f"{side}-{label}-{index:04}", normalised(low_passed(samples)), [label], source)


EXPECTED = {(side, label): CROPS for side in ("train", "test") for label in ("speech", "music")}
PACKAGES = (*TRAIN_SPEECH, *TRAIN_MUSIC, *asterisk.PACKAGES, *TEST_MUSIC)
PLANS = (Plan(scene("speech_music", "accuracy", 1 / 2, SECONDS), PACKAGES, _clips, EXPECTED),)
