"""Task 8: onsets of sound effects over background music. Test and training have different effects and music."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...tasks.write import Clip, Event
from .effects import HALVES, PACKAGES, effects
from .plan import Plan, events
from .recordings import Library, Recording
from .signals import RATE, drawn, generator, normalised, rms, trimmed
from .speech_music import pieces

SECONDS = 10.0
CLASSES = ("animal", "door", "footstep", "interface", "vocal", "weapon")
MUSIC = {"a": ("marsshooter-data",), "b": ("hyperrogue-music", "asterisk-moh-opsound")}
MIXTURES = {"train": 1000, "valid": 200, "test": 400}
MOST = 5  # events of a mixture
SHORTEST, LONGEST = 0.1, 3.0  # seconds of an event
LOUDEST = 15.0  # dB over the background; the softest effect is as loud as the background
GRID = 0.01  # seconds
GAP = 0.25  # seconds between events of one class: smoothing would merge closer ones
TOGETHER = 2  # simultaneous events at most
TRIES = 50  # random onsets of an event before it is left out
FADE = 0.02  # seconds at the end of a cut event


class Sample(NamedTuple):
    """An effect ready to be placed."""

    label: str
    samples: np.ndarray


class Material(NamedTuple):
    """The effects and backgrounds of one split."""

    effects: dict[str, list[Recording]]
    backgrounds: list[Recording]


def _material(library: Library) -> dict[str, Material]:
    """Split -> material. A tenth of the training effects and of the training music is for validation."""
    eligible = [effect for effect in effects(library) if effect.kind in CLASSES]
    units_of = {kind: {e.unit for e in eligible if e.half == "a" and e.kind == kind} for kind in CLASSES}
    held_out = {unit for kind, units in units_of.items() for unit in drawn(units, -(-len(units) // 10), "events", kind)}
    material = {split: Material({kind: [] for kind in CLASSES}, []) for split in MIXTURES}
    for effect in eligible:
        split = "test" if effect.half == "b" else "valid" if effect.unit in held_out else "train"
        material[split].effects[effect.kind].append(effect.recording)
    music = pieces(library, *MUSIC["a"])
    quiet = drawn((piece.key for piece in music), -(-len(music) // 10), "events")
    for piece in music:
        material["valid" if piece.key in quiet else "train"].backgrounds.append(piece)
    material["test"].backgrounds.extend(pieces(library, *MUSIC["b"]))
    return material


def _clips(library: Library) -> Iterator[Clip]:
    for split, material in _material(library).items():
        ready = {
            kind: [_sample(kind, recording) for recording in recordings]
            for kind, recordings in material.effects.items()
        }
        ready = {
            kind: [sample for sample in samples if len(sample.samples) >= SHORTEST * RATE]
            for kind, samples in ready.items()
        }
        mixture_names = [f"{split}-{index:04}" for index in range(MIXTURES[split])]
        for number, piece in enumerate(material.backgrounds):  # this order reads each piece once
            music = piece.samples()
            for name in mixture_names[number :: len(material.backgrounds)]:
                rng = generator("events", name)
                mixed, placed = mixture(_stretch(music, rng), ready, rng)
                yield Clip(split, name, normalised(mixed), placed, piece.key)


def _sample(kind: str, recording: Recording) -> Sample:
    """Trims silence, and cuts after three seconds."""
    samples, length = trimmed(recording.samples(), -40), round(LONGEST * RATE)
    if len(samples) > length:
        samples = samples[:length].copy()
        samples[-round(FADE * RATE) :] *= np.linspace(1, 0, round(FADE * RATE), dtype=np.float32)
    return Sample(kind, samples)


def _stretch(music: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The loudest of three random segments of ten seconds, to avoid pauses."""
    length = round(SECONDS * RATE)
    starts = rng.randint(len(music) - length, size=3)
    return max((music[start : start + length] for start in starts), key=rms)


def mixture(
    background: np.ndarray, effects: dict[str, list[Sample]], rng: np.random.RandomState
) -> tuple[np.ndarray, list[Event]]:
    """A background with one to five events of equally likely classes, and these events."""
    mixed, floor = background.astype(np.float64), max(rms(background), 1e-4)
    placed: list[Event] = []
    for _ in range(1 + rng.randint(MOST)):
        samples_of_class = effects[CLASSES[rng.randint(len(CLASSES))]]
        label, samples = samples_of_class[rng.randint(len(samples_of_class))]
        gain = floor * 10 ** (rng.random_sample() * LOUDEST / 20) / rms(samples)
        steps = int((SECONDS - len(samples) / RATE) / GRID)
        for step in rng.randint(steps + 1, size=TRIES):
            event = Event(label, 10.0 * step, 10.0 * step + 1000 * len(samples) / RATE)
            if _fits(event, placed):
                start = round(step * GRID * RATE)
                mixed[start : start + len(samples)] += gain * samples
                placed.append(event)
                break
    return mixed, sorted(placed, key=lambda event: event.start)


def _fits(event: Event, placed: list[Event]) -> bool:
    """Whether at most two events sound at once with it, and none of its class is closer than the gap."""
    gap = 1000 * GAP
    if any(e.label == event.label and e.start < event.end + gap and event.start < e.end + gap for e in placed):
        return False
    beside = [e for e in placed if e.start < event.end and event.start < e.end]
    moments = [event.start, *(e.start for e in beside if e.start > event.start)]
    return all(sum(e.start <= moment < e.end for e in beside) < TOGETHER for moment in moments)


EXPECTED = {("train", ""): MIXTURES["train"] + MIXTURES["valid"], ("test", ""): MIXTURES["test"]}
SOURCES = tuple(dict.fromkeys((*PACKAGES, *(name for half in HALVES for name in MUSIC[half]))))
PLANS = (Plan(events("events", "onset_200ms", SECONDS, median_ms=150, shortest_ms=60), SOURCES, _clips, EXPECTED),)
