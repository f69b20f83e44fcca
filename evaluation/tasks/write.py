"""Writes tasks in the format of HEAR's kit, with one extra file: ``groups.csv``, the source of each clip.

    TASKS/<name>-<version>-full/
        task_metadata.json   labelvocabulary.csv   <split>.json   groups.csv
        <rate>/<split>/<file>.wav

Clips of one group (a speaker, a kit, a package) are not independent, so confidence intervals resample groups. The kit
ignores the file.
"""

import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch

from hear_audioformer import audio

RATE = 16000
VERSION = "open1"


@dataclass(frozen=True)
class Event:
    """A labelled event in a clip; times in milliseconds."""

    label: str
    start: float
    end: float


Labels = Sequence[str] | Sequence[Event]


@dataclass(frozen=True)
class Clip:
    """One clip of a task: split, name without suffix, 16-kHz mono int16 samples, labels and group."""

    split: str
    name: str
    pcm: np.ndarray
    labels: Labels
    group: str


@dataclass(frozen=True)
class TaskMetadata:
    """A task's metadata in HEAR's terms. Clips are cut or padded to ``sample_duration`` seconds, unless it is None."""

    name: str
    embedding_type: Literal["scene", "event"]
    prediction_type: Literal["multiclass", "multilabel"]
    split_mode: Literal["trainvaltest", "presplit_kfold"]
    splits: tuple[str, ...]
    sample_duration: float | None
    evaluation: tuple[str, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"{self.name}-{VERSION}-full"


def write(tasks: Path, task: TaskMetadata, clips: Iterable[Clip], rates: Sequence[int] = (RATE,)) -> Path:
    """Writes a task. Its folder appears when it is complete, and replaces an older one."""
    target = tasks / task.folder
    # beside the tasks' folder, since HEAR's kit treats every entry inside it as a task
    work = tasks.parent / f".{tasks.name}-{task.folder}.part"
    shutil.rmtree(work, ignore_errors=True)
    annotations: dict[str, dict[str, Any]] = {split: {} for split in task.splits}
    groups: list[tuple[str, str, str]] = []
    for clip in clips:
        file = f"{clip.name}.wav"
        if any(file in files_of_split for files_of_split in annotations.values()):
            raise ValueError(f"{task.name}: two clips are named {clip.name}")
        for rate in rates:
            path = work / str(rate) / clip.split / file
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, _fitted(clip.pcm, task.sample_duration, rate), rate, subtype="PCM_16")
        annotations[clip.split][file] = [asdict(label) if isinstance(label, Event) else label for label in clip.labels]
        groups.append((clip.split, file, clip.group))
    if empty := [split for split, files in annotations.items() if not files]:
        raise ValueError(f"{task.name}: no clips in {', '.join(empty)}")
    _write_tables(work, task, annotations, groups)
    shutil.rmtree(target, ignore_errors=True)
    tasks.mkdir(parents=True, exist_ok=True)
    work.replace(target)
    return target


def _write_tables(
    folder: Path, task: TaskMetadata, annotations: dict[str, dict[str, Any]], groups: Sequence[tuple[str, str, str]]
) -> None:
    for split, files in annotations.items():
        (folder / f"{split}.json").write_text(json.dumps(files, indent=1))
    names = {
        item["label"] if isinstance(item, dict) else item
        for files in annotations.values()
        for items in files.values()
        for item in items
    }
    numeric = all(name.isdecimal() for name in names)
    with open(folder / "labelvocabulary.csv", "w", newline="") as file:
        rows = enumerate(sorted(names, key=int if numeric else str))
        csv.writer(file).writerows([("idx", "label"), *rows])
    with open(folder / "groups.csv", "w", newline="") as file:
        csv.writer(file).writerows([("split", "file", "group"), *sorted(groups)])
    metadata = {
        "task_name": task.name,
        "version": VERSION,
        "mode": "full",
        "embedding_type": task.embedding_type,
        "prediction_type": task.prediction_type,
        "split_mode": task.split_mode,
        "splits": list(task.splits),
        "nfolds": len(task.splits) if task.split_mode == "presplit_kfold" else None,
        "sample_duration": task.sample_duration,
        "evaluation": list(task.evaluation),
        **task.extra,
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata, indent=2))


def _fitted(pcm: np.ndarray, seconds: float | None, rate: int) -> np.ndarray:
    """Resamples, and cuts or pads with silence to the task's duration."""
    if rate != RATE:
        samples = audio.resample(torch.as_tensor(pcm).float() / 32768, RATE, rate)
        pcm = samples.mul(32768).round().clamp(-32768, 32767).short().numpy()
    if seconds is not None:
        length = round(seconds * rate)
        pcm = np.pad(pcm[:length], (0, max(0, length - len(pcm))))
    return pcm
