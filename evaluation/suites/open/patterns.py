"""Task 9: the onsets of drums in synthetic bars. Test and training have different kits."""

from collections.abc import Iterator

import numpy as np

from ...tasks.write import Clip, Event
from .plan import Plan, events
from .recordings import Library
from .signals import PEAK, RATE, generator, low_passed, normalised, trimmed
from .strokes import FOLDS, PACKAGES, strokes

SECONDS = 5.0
CLASSES = ("crash", "hihat-closed", "hihat-open", "kick", "ride", "snare", "tom")
FEWEST = 4  # classes of a kit
SIDES = {"train": (3, 4), "valid": (0,), "test": (1, 2)}  # folds of task 6: four kits, two, and four
BARS = {"train": 600, "valid": 100, "test": 300}
SLOWEST, FASTEST = 80, 160  # beats a minute, two steps a beat
JITTER = 0.015  # seconds at most, either way
PROBABILITY = 0.15  # of a class at a step
SOFTEST = 12.0  # dB below the loudest
LENGTH = 100.0  # nominal ms of an event, as strokes have no clear end

Kit = dict[str, list[np.ndarray]]


def kits(library: Library) -> dict[str, Kit]:
    """The strokes of every kit with enough classes, trimmed to the onset and normalised to one peak."""
    strokes_of: dict[str, Kit] = {}
    for stroke in strokes(library):
        if stroke.drum in CLASSES:
            samples = trimmed(stroke.recording.samples(), -40)
            strokes_of.setdefault(stroke.kit, {}).setdefault(stroke.drum, []).append(
                PEAK * samples / np.abs(samples).max()
            )
    return {name: kit for name, kit in strokes_of.items() if len(kit) >= FEWEST}


def bar(kit: Kit, rng: np.random.RandomState) -> tuple[np.ndarray, list[Event]]:
    """Five seconds of random strokes on a grid, at least one, and their events."""
    step = 30 / (SLOWEST + rng.random_sample() * (FASTEST - SLOWEST))
    steps = np.arange(step, SECONDS - LENGTH / 1000 - JITTER, step)
    hits = rng.random_sample((len(CLASSES), len(steps))) < PROBABILITY
    hits &= np.array([[name in kit] for name in CLASSES])
    if not hits.any():
        hits[CLASSES.index(sorted(kit)[0]), 0] = True
    mixed, placed = np.zeros(round(SECONDS * RATE)), []
    for kind, index in np.argwhere(hits):
        samples = kit[CLASSES[kind]][rng.randint(len(kit[CLASSES[kind]]))]
        start = round((steps[index] + JITTER * (2 * rng.random_sample() - 1)) * RATE)
        target = mixed[start : start + len(samples)]
        target += samples[: len(target)] * 10 ** (-rng.random_sample() * SOFTEST / 20)
        onset = 1000 * start / RATE
        placed.append(Event(CLASSES[kind], onset, onset + LENGTH))
    return mixed, sorted(placed, key=lambda event: event.start)


def _clips(library: Library) -> Iterator[Clip]:
    kit_of_name = kits(library)
    for split, folds in SIDES.items():
        names = [name for fold in folds for name in FOLDS[fold] if name in kit_of_name]
        for index in range(BARS[split]):
            kit, name = names[index % len(names)], f"{split}-{index:03}"
            mixed, placed = bar(kit_of_name[kit], generator("pattern", name))
            yield Clip(split, name, normalised(low_passed(mixed)), placed, kit)


EXPECTED = {("train", ""): BARS["train"] + BARS["valid"], ("test", ""): BARS["test"]}
# without smoothing: strokes may follow each other within 0.2 s
PLANS = (Plan(events("pattern", "onset_50ms", SECONDS, median_ms=0, shortest_ms=0), PACKAGES, _clips, EXPECTED),)
