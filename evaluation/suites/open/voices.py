"""Task 11: the number of simultaneous speakers, zero to three. Test and training have different voices."""

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
LATEST = 1.0  # latest onset of a voice in seconds
SHORTEST = 1.0  # shortest prompt in seconds
NOISE = 10 ** (-30 / 20)  # relative to one voice


def mixture(prompts: list[np.ndarray], rng: np.random.RandomState) -> np.ndarray:
    """Equally loud prompts in faint white noise. Each prompt starts within the first second."""
    mixed = NOISE * rng.standard_normal(round(SECONDS * RATE))
    for prompt in prompts:
        start = int(rng.random_sample() * LATEST * RATE)
        target = mixed[start : start + len(prompt)]
        target += prompt[: len(target)] / rms(prompt[: len(target)])
    return mixed


def _clips(library: Library) -> Iterator[Clip]:
    said = _prompts(library)
    for split, many in MIXTURES.items():
        for count in COUNTS:
            choices = list(combinations(VOICES[split], count))
            for index in range(many):
                name = f"{split}-{count}-{index:03}"
                rng, voices = generator("voices", name), choices[index % len(choices)]
                recordings = [said[split, voice][rng.randint(len(said[split, voice]))] for voice in voices]
                prompts = [trimmed(recording.samples(), -40) for recording in recordings]
                # each clip without a voice is a group of its own
                yield Clip(split, name, normalised(mixture(prompts, rng)), [str(count)], "+".join(voices) or name)


def _prompts(library: Library) -> dict[tuple[str, str], list[Recording]]:
    """(split, voice) -> prompts. A tenth of the training voices' prompts is for validation."""
    said: dict[tuple[str, str], list[Recording]] = {}
    for recording in library.of(*asterisk.PACKAGES):
        voice = asterisk.voice(recording)
        if recording.seconds >= SHORTEST:
            split = "test" if voice in VOICES["test"] else "valid" if tenth(recording.key) else "train"
            said.setdefault((split, voice), []).append(recording)
    return said


EXPECTED = {("train", str(count)): 400 for count in COUNTS} | {("test", str(count)): 150 for count in COUNTS}
PLANS = (Plan(scene("count", "accuracy", 1 / len(COUNTS), SECONDS), asterisk.PACKAGES, _clips, EXPECTED),)
