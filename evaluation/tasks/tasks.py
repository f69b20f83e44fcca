"""Tasks in HEAR's format, read back: which clips there are, what is told of them, who tests whom.

A task says how it is scored under ``open_suite`` in its metadata; one of HEAR's own says it by its first metric.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .write import Event

HEAR_METRICS = {
    "top1_acc": "accuracy",
    "pitch_acc": "pitch",
    "mAP": "mean_precision",
    "event_onset_200ms_fms": "onset_200ms",
    "event_onset_50ms_fms": "onset_50ms",
}
SCENE_SCORES = ("accuracy", "mean_recall", "pitch", "mean_precision")
EVENT_SCORES = ("onset_200ms", "onset_50ms")


class TaskError(ValueError):
    """A task that cannot be read or scored; the message says which and why."""


@dataclass(frozen=True)
class Item:
    """One clip of a task; ``labels`` are places in the vocabulary, ``events`` those of an event task."""

    split: str
    file: str
    group: str
    labels: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Fold:
    """Splits by their use in one round: heads are fitted on ``train``, chosen on ``valid``, scored on ``test``."""

    train: tuple[str, ...]
    valid: str
    test: str


@dataclass(frozen=True)
class Reading:
    """A task as it stands on disk."""

    folder: Path
    metadata: dict[str, Any]
    vocabulary: tuple[str, ...]
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """The task's own; of HEAR's tasks, some of which share a name, the folder's."""
        return str(self.metadata["task_name"]) if "open_suite" in self.metadata else self.folder.name

    @property
    def is_event(self) -> bool:
        return self.metadata["embedding_type"] == "event"

    @property
    def multilabel(self) -> bool:
        return self.metadata["prediction_type"] == "multilabel"

    @cached_property
    def score(self) -> str:
        """The name of the primary score."""
        own = self.metadata.get("open_suite", {}).get("score")
        metric = self.metadata["evaluation"][0]
        score = str(own or HEAR_METRICS.get(metric))
        known = EVENT_SCORES if self.is_event else SCENE_SCORES
        if score not in known:
            raise TaskError(f"{self.folder}: score {own or metric!r} is not one of {', '.join(known)}")
        if self.multilabel and not self.is_event and score != "mean_precision":
            raise TaskError(f"{self.folder}: a multilabel task is scored by mean_precision (mAP), not {score}")
        return score

    @property
    def chance(self) -> float | None:
        """What guessing scores, where the task says it."""
        told = self.metadata.get("open_suite", {}).get("chance")
        return None if told is None else float(told)

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """One round for train/valid/test; for k folds, fold i tests, the next one validates, the rest train."""
        names = sorted(self.metadata["splits"])
        if self.metadata["split_mode"] == "trainvaltest":
            return (Fold(("train",), "valid", "test"),)
        if len(names) < 3:
            raise TaskError(f"{self.folder}: {len(names)} folds; testing, validating and training need three")
        rounds = []
        for i, test in enumerate(names):
            valid = names[(i + 1) % len(names)]
            rounds.append(Fold(tuple(name for name in names if name not in (test, valid)), valid, test))
        return tuple(rounds)

    def audio(self, item: Item, rate: int) -> Path:
        """A clip's file at a rate, or at the highest rate there is (the caller resamples)."""
        return self.folder / str(self.tree(rate)) / item.split / item.file

    def tree(self, rate: int) -> int:
        """The rate of the files to read for a model's rate."""
        there = [int(entry.name) for entry in self.folder.iterdir() if entry.name.isdecimal()]
        if not there:
            raise TaskError(f"{self.folder}: no folder of audio such as {rate}/")
        return rate if rate in there else max(there)

    def fingerprint(self, rate: int) -> str:
        """A hash of every clip's bytes and place, so that embeddings of an older version are never taken for these."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"\0{item.split}/{item.file}\0".encode())
            digest.update(self.audio(item, rate).read_bytes())
        return digest.hexdigest()


def find(suite: Path, only: tuple[str, ...] = ()) -> list[Reading]:
    """The tasks of a folder in order of name; ``only`` those whose name or folder is given."""
    readings = [read(file.parent) for file in sorted(suite.glob("*/task_metadata.json"))]
    if not readings:
        raise TaskError(f"{suite} holds no tasks (folders with task_metadata.json)")
    known = {name for reading in readings for name in _names(reading)}
    if unknown := sorted(set(only) - known):
        names = ", ".join(reading.name for reading in readings)
        raise TaskError(f"no task {', '.join(unknown)} in {suite}; there are {names}")
    return [reading for reading in readings if not only or _names(reading) & set(only)]


def _names(reading: Reading) -> set[str]:
    return {str(reading.metadata["task_name"]), reading.folder.name}


def read(folder: Path) -> Reading:
    """A task without its audio."""
    metadata = json.loads((folder / "task_metadata.json").read_text())
    with open(folder / "labelvocabulary.csv", newline="") as file:
        rows = sorted((int(row["idx"]), row["label"]) for row in csv.DictReader(file))
    vocabulary = tuple(label for _, label in rows)
    groups = _groups(folder / "groups.csv")
    items = tuple(
        item
        for split in sorted(metadata["splits"])
        for item in _items(folder, split, {label: i for i, label in enumerate(vocabulary)}, groups, metadata)
    )
    return Reading(folder, metadata, vocabulary, items)


def _groups(file: Path) -> dict[tuple[str, str], str]:
    """(split, file) -> group; HEAR's own tasks have none, there every clip is its own."""
    if not file.is_file():
        return {}
    with open(file, newline="") as lines:
        return {(row["split"], row["file"]): row["group"] for row in csv.DictReader(lines)}


def _items(
    folder: Path,
    split: str,
    places: dict[str, int],
    groups: dict[tuple[str, str], str],
    metadata: dict[str, Any],
) -> Iterator[Item]:
    for file, told in sorted(json.loads((folder / f"{split}.json").read_text()).items()):
        group = groups.get((split, file), f"{split}/{file}")
        if metadata["embedding_type"] == "event":
            events = tuple(Event(str(e["label"]), float(e["start"]), float(e["end"])) for e in told)
            yield Item(split, file, group, events=events)
            continue
        if metadata["prediction_type"] == "multiclass" and len(told) != 1:
            raise TaskError(f"{folder}: {split}/{file} has {len(told)} labels; a multiclass clip has one")
        yield Item(split, file, group, tuple(places[str(label)] for label in told))
