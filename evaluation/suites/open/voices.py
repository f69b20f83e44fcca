"""Task 11: how many people speak, none to three, each one prompt at about the same time; new voices."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from ...tasks.write import Clip
from . import asterisk
from .plan import Plan, scene
from .recordings import Library, Recording
from .signals import RATE, generator, normalised, rms, tenth, trimmed

SECONDS = 4.0
COUNTS = (0, 1, 2, 3)
MIXTURES = {"train": 360, "valid": 40, "test": 150}  # of each count
VOICES = {
    "train": ("allison", "es-co", "ivrvoiceru"),
    "valid": ("allison", "es-co", "ivrvoiceru"),
    "test": ("june", "fr-armelle", "carlo", "menardi"),
}
LATEST = 1.0  # second at which a voice begins
SHORTEST = 1.0  # of a prompt
NOISE = 10 ** (-30 / 20)  # beside one voice


def mixture(prompts: list[np.ndarray], turn: np.random.RandomState) -> np.ndarray:
    """Prompts at one loudness, each begun within the first second, in faint white noise."""
    mixed = NOISE * turn.standard_normal(round(SECONDS * RATE))
    for prompt in prompts:
        start = int(turn.random_sample() * LATEST * RATE)
        place = mixed[start : start + len(prompt)]
        place += prompt[: len(place)] / rms(prompt[: len(place)])
    return mixed


def _clips(library: Library) -> Iterator[Clip]:
    said = _prompts(library)
    for split, many in MIXTURES.items():
        for count in COUNTS:
            choices = list(combinations(VOICES[split], count))
            for index in range(many):
                name = f"{split}-{count}-{index:03}"
                turn, voices = generator("voices", name), choices[index % len(choices)]
                recordings = [said[split, voice][turn.randint(len(said[split, voice]))] for voice in voices]
                prompts = [trimmed(recording.samples(), -40) for recording in recordings]
                # clips of noise alone have nothing in common with each other
                yield Clip(split, name, normalised(mixture(prompts, turn)), [str(count)], "+".join(voices) or name)


def _prompts(library: Library) -> dict[tuple[str, str], list[Recording]]:
    """Prompts by split and voice; a tenth of the training voices' is for validation."""
    said: dict[tuple[str, str], list[Recording]] = {}
    for recording in library.of(*asterisk.PACKAGES):
        voice = asterisk.voice(recording)
        if recording.seconds >= SHORTEST:
            split = "test" if voice in VOICES["test"] else "valid" if tenth(recording.key) else "train"
            said.setdefault((split, voice), []).append(recording)
    return said


EXPECTED = {("train", str(count)): 400 for count in COUNTS} | {("test", str(count)): 150 for count in COUNTS}
PLANS = (Plan(scene("count", "accuracy", 1 / len(COUNTS), SECONDS), asterisk.PACKAGES, _clips, EXPECTED),)
