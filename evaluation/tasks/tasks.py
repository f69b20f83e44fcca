"""Tasks in HEAR's format, read from disk: clips, labels, and the folds of training, validation and test splits.

A task of a suite names its score under ``open_suite`` in its metadata. For HEAR's own tasks the first metric decides.
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
    """One clip of a task. ``labels`` are indices into the vocabulary; event tasks have ``events`` instead."""

    split: str
    file: str
    group: str
    labels: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Fold:
    """The splits of one round: heads are fitted on ``train``, selected on ``valid`` and scored on ``test``."""

    train: tuple[str, ...]
    valid: str
    test: str


@dataclass(frozen=True)
class Task:
    """A task on disk, without its audio."""

    folder: Path
    metadata: dict[str, Any]
    vocabulary: tuple[str, ...]
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """The task's name; for HEAR's own tasks the folder's, as some of them share a name."""
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
        allowed = EVENT_SCORES if self.is_event else SCENE_SCORES
        if score not in allowed:
            raise TaskError(f"{self.folder}: score {own or metric!r} is not one of {', '.join(allowed)}")
        if self.multilabel and not self.is_event and score != "mean_precision":
            raise TaskError(f"{self.folder}: a multilabel task is scored by mean_precision (mAP), not {score}")
        return score

    @property
    def chance(self) -> float | None:
        """The score of guessing, if the task gives it."""
        chance = self.metadata.get("open_suite", {}).get("chance")
        return None if chance is None else float(chance)

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """One round for train/valid/test. With k folds, fold i is for test, fold i + 1 for validation."""
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
        """A clip's file at a rate, or else at the highest available rate; the caller resamples."""
        return self.folder / str(self.tree(rate)) / item.split / item.file

    def tree(self, rate: int) -> int:
        """The rate of the folder to read for a model's rate."""
        rates = [int(entry.name) for entry in self.folder.iterdir() if entry.name.isdecimal()]
        if not rates:
            raise TaskError(f"{self.folder}: no folder of audio such as {rate}/")
        return rate if rate in rates else max(rates)

    def audio_hash(self, rate: int) -> str:
        """SHA-256 of every clip's name and bytes. Cached embeddings of another version have another key."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(f"\0{item.split}/{item.file}\0".encode())
            digest.update(self.audio(item, rate).read_bytes())
        return digest.hexdigest()


def find(suite: Path, only: tuple[str, ...] = ()) -> list[Task]:
    """The tasks of a folder, sorted by name; with ``only``, those with one of these names or folders."""
    tasks = [read(file.parent) for file in sorted(suite.glob("*/task_metadata.json"))]
    if not tasks:
        raise TaskError(f"{suite} holds no tasks (folders with task_metadata.json)")
    names = {name for task in tasks for name in _names(task)}
    if unknown := sorted(set(only) - names):
        listing = ", ".join(task.name for task in tasks)
        raise TaskError(f"no task {', '.join(unknown)} in {suite}; there are {listing}")
    return [task for task in tasks if not only or _names(task) & set(only)]


def _names(task: Task) -> set[str]:
    return {str(task.metadata["task_name"]), task.folder.name}


def read(folder: Path) -> Task:
    """Reads a task's tables."""
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
    return Task(folder, metadata, vocabulary, items)


def _groups(file: Path) -> dict[tuple[str, str], str]:
    """(split, file) -> group. HEAR's own tasks have no groups: each clip is its own."""
    if not file.is_file():
        return {}
    with open(file, newline="") as lines:
        return {(row["split"], row["file"]): row["group"] for row in csv.DictReader(lines)}


def _items(
    folder: Path,
    split: str,
    classes: dict[str, int],
    groups: dict[tuple[str, str], str],
    metadata: dict[str, Any],
) -> Iterator[Item]:
    for file, labels in sorted(json.loads((folder / f"{split}.json").read_text()).items()):
        group = groups.get((split, file), f"{split}/{file}")
        if metadata["embedding_type"] == "event":
            events = tuple(Event(str(e["label"]), float(e["start"]), float(e["end"])) for e in labels)
            yield Item(split, file, group, events=events)
            continue
        if metadata["prediction_type"] == "multiclass" and len(labels) != 1:
            raise TaskError(f"{folder}: {split}/{file} has {len(labels)} labels; a multiclass clip has one")
        yield Item(split, file, group, tuple(classes[str(label)] for label in labels))
