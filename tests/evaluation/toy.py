"""Small tasks for tests of the scorer, written as HEAR's format has them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evaluation.tasks.write import Clip, Event, TaskMetadata, write

RATE = 16000
PITCHES = (500.0, 1500.0, 3000.0)  # in different bands of the stand-in
TVT = ("train", "valid", "test")
FOLDS = ("fold00", "fold01", "fold02", "fold03")


def tone(hertz: float, seconds: float, turn: np.random.RandomState, noise: float = 0.02) -> np.ndarray:
    """A tone in noise, int16."""
    times = np.arange(round(seconds * RATE)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * (hertz * times + turn.random_sample())) + noise * turn.randn(len(times))
    return (32767 * samples.clip(-1, 1)).astype(np.int16)


def tones(
    folder: Path,
    name: str = "tones",
    splits: Sequence[str] = TVT,
    clips: int = 12,
    sense: bool = True,
    seed: int = 0,
    score: str = "accuracy",
) -> Path:
    """A task of three classes told apart by pitch, or, without ``sense``, by nothing; three clips a group."""
    turn = np.random.RandomState(seed)

    def made() -> Iterator[Clip]:
        for split in splits:
            for index in range(clips):
                kind = index % 3
                hertz = PITCHES[kind if sense else turn.randint(3)]
                pcm = tone(hertz, 0.2 + 0.04 * (index % 4), turn)
                yield Clip(split, f"{split}-{index:03}", pcm, [f"class{kind}"], f"{split}-group{index // 3}")

    mode = "trainvaltest" if "train" in splits else "presplit_kfold"
    extra = {"open_suite": {"score": score, "chance": 1 / 3}}
    task = TaskMetadata(name, "scene", "multiclass", mode, tuple(splits), None, ("top1_acc",), extra)  # type: ignore[arg-type]
    return write(folder, task, made())


def beeps(folder: Path, name: str = "beeps", clips: int = 6, score: str = "onset_50ms") -> Path:
    """A task of events: beeps of two classes over two seconds of faint noise; two clips a group."""
    turn = np.random.RandomState(0)

    def made() -> Iterator[Clip]:
        for split in TVT:
            for index in range(clips):
                samples = 0.003 * turn.randn(2 * RATE)
                events = []
                for place, kind in enumerate(turn.permutation([0, 1, 0, 1])):
                    start, length = 100 + 450 * place + turn.randint(100), 160 + turn.randint(80)
                    inside = slice(start * RATE // 1000, (start + length) * RATE // 1000)
                    samples[inside] += tone(PITCHES[kind], length / 1000, turn) / 32768
                    events.append(Event("ab"[kind], float(start), float(start + length)))
                pcm = (32767 * samples.clip(-1, 1)).astype(np.int16)
                yield Clip(split, f"{split}-{index}", pcm, events, f"{split}-group{index // 2}")

    extra = {"open_suite": {"score": score, "chance": 0.0}}
    task = TaskMetadata(name, "event", "multilabel", "trainvaltest", TVT, 2.0, ("event_onset_50ms_fms",), extra)
    return write(folder, task, made())
