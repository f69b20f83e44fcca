"""Labelled recordings as tasks: any table of files, HEAR's format, and well-known data sets as they are unpacked.

A table is a CSV with the columns ``path`` (from the table's folder), ``label`` (several are parted by ``;``), ``split``
(``train``, ``test`` and maybe ``valid``; other names are folds, each tested once), and maybe ``group``: clips of one
group are not independent of each other.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.tasks.tasks import Item, Task, TaskError, read

ROLES = ("train", "valid", "test")
AUDIOSET = {"20k": "balanced_train_segments.csv", "2m": "unbalanced_train_segments.csv"}


@dataclass(frozen=True)
class Row:
    """One recording: its file below the folder, its labels, its use, what it depends on."""

    file: str
    labels: tuple[str, ...]
    split: str
    group: str


@dataclass(frozen=True)
class Listed(Task):
    """A task whose clips lie wherever its table says."""

    @property
    def name(self) -> str:
        return str(self.metadata["task_name"])

    def audio(self, item: Item, rate: int) -> Path:
        return self.folder / item.file


def open_task(data: Path, layout: str, name: str) -> Task:
    """The task in a folder, or of a table; tables and HEAR's format are known by themselves, else ``layout`` counts."""
    if not data.exists():
        raise TaskError(f"there is no {data}: data=FOLDER names the unpacked data set, or a table (CSV)")
    if (data / "task_metadata.json").is_file():
        task = read(data)
        if task.is_event:
            raise TaskError(f"{task.name} asks for events in time; what is learnt here are labels of whole clips")
        return task
    if data.is_file() or (data / "manifest.csv").is_file():
        table = data if data.is_file() else data / "manifest.csv"
        return _task(table.parent, table.stem if data.is_file() else data.name, list(table_rows(table)))
    if layout not in LAYOUTS:
        raise TaskError(
            f"{data} holds neither manifest.csv nor task_metadata.json; name a table (data=FILE.csv), or a data set's "
            f"folder with layout={' or '.join(LAYOUTS)}"
        )
    try:
        return _task(data, name, list(LAYOUTS[layout](data)))
    except OSError as error:
        raise TaskError(f"{data} is not the folder of {layout}: {error.filename} is missing") from error


def fingerprint(task: Task) -> str:
    """A hash of what is told of the clips: files, splits, labels; not of their samples."""
    rows_of_clips = [(item.split, item.file, item.group, item.labels) for item in task.items]
    return hashlib.sha256(json.dumps([task.vocabulary, rows_of_clips]).encode()).hexdigest()


def require_files(task: Task, rate: int) -> None:
    """Fails now rather than in the middle of a run."""
    gone = [path for item in task.items if not (path := task.audio(item, rate)).is_file()]
    if gone:
        raise TaskError(f"{task.name}: {len(gone)} of {len(task.items)} recordings are missing, such as {gone[0]}")


def table_rows(table: Path) -> Iterator[Row]:
    """The rows of a table."""
    with open(table, newline="") as file:
        reader = csv.DictReader(file)
        if missing := sorted({"path", "label", "split"} - set(reader.fieldnames or ())):
            raise TaskError(f"{table} has no column {', '.join(missing)}; it needs path, label and split")
        for number, row in enumerate(reader, start=2):
            labels = tuple(filter(None, (label.strip() for label in row["label"].split(";"))))
            if not row["path"] or not row["split"]:
                raise TaskError(f"{table}, line {number}: a clip needs a path and a split")
            yield Row(row["path"], labels, row["split"], row.get("group") or row["path"])


def esc50(folder: Path) -> Iterator[Row]:
    """ESC-50 (Piczak, 2015): five folds; clips cut from one recording share a fold and a group."""
    with open(folder / "meta" / "esc50.csv", newline="") as file:
        for row in csv.DictReader(file):
            yield Row(f"audio/{row['filename']}", (row["category"],), f"fold{row['fold']}", row["src_file"])


def speech_commands(folder: Path) -> Iterator[Row]:
    """Speech Commands V2 (Warden, 2018), all 35 words; the two lists are the official splits, speakers the groups."""
    held: dict[str, str] = {}
    for split, table in (("valid", "validation_list.txt"), ("test", "testing_list.txt")):
        held |= dict.fromkeys((folder / table).read_text().split(), split)
    for path in sorted(folder.glob("[!_]*/*.wav")):
        file = path.relative_to(folder).as_posix()
        yield Row(file, (path.parent.name,), held.get(file, "train"), path.name.split("_nohash_")[0])


def voxceleb(folder: Path) -> Iterator[Row]:
    """VoxCeleb1's identification split (Nagrani et al., 2017): which speaker; clips of one video are a group."""
    for line in (folder / "iden_split.txt").read_text().splitlines():
        use, file = line.split()
        speaker, video, _ = file.split("/")
        yield Row(f"wav/{file}", (speaker,), ROLES[int(use) - 1], f"{speaker}/{video}")


def audioset(folder: Path, train: str) -> Iterator[Row]:
    """AudioSet (Gemmeke et al., 2017): clips that are there, below ``audio/``, named after the video.

    A name is the video's, maybe behind a ``Y`` as in many copies, maybe with the start behind it; clips that no longer
    exist are left out.
    """
    files = {path.stem: path for path in sorted((folder / "audio").rglob("*")) if path.is_file()}
    for split, table in (("train", AUDIOSET[train]), ("test", "eval_segments.csv")):
        with open(folder / table, newline="") as file:
            lines = (line for line in file if not line.startswith("#"))
            for video, start, _, labels in csv.reader(lines, skipinitialspace=True):
                names = (video, f"Y{video}", f"{video}_{float(start):g}", f"{video}_{round(1000 * float(start))}")
                path = next((files[name] for name in names if name in files), None)
                if path:
                    yield Row(path.relative_to(folder).as_posix(), tuple(labels.split(",")), split, video)


def vggsound(folder: Path) -> Iterator[Row]:
    """VGGSound (Chen et al., 2020): one of 309 classes; clips that are there, named after video and start."""
    files = {path.stem: path for path in sorted((folder / "audio").rglob("*")) if path.is_file()}
    with open(folder / "vggsound.csv", newline="") as file:
        for video, start, label, split in csv.reader(file):
            name = next((n for n in (f"{video}_{int(start):06d}", f"{video}_{start}") if n in files), None)
            if name:
                yield Row(files[name].relative_to(folder).as_posix(), (label,), split, video)


def epic_kitchens(folder: Path) -> Iterator[Row]:
    """EPIC-Kitchens-100 (Damen et al., 2022): a class a pair of verb and noun; the test is what they call validation.

    Segments are cut beforehand, one file each, named after their ``narration_id``.
    """
    files = {path.stem: path for path in sorted((folder / "audio").rglob("*")) if path.is_file()}
    for split, table in (("train", "EPIC_100_train.csv"), ("test", "EPIC_100_validation.csv")):
        with open(folder / table, newline="") as file:
            for row in csv.DictReader(file):
                if path := files.get(row["narration_id"]):
                    action = f"{row['verb_class']}-{row['noun_class']}"
                    yield Row(path.relative_to(folder).as_posix(), (action,), split, row["video_id"])


LAYOUTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "esc50": esc50,
    "speech-commands": speech_commands,
    "voxceleb": voxceleb,
    "vggsound": vggsound,
    "epic-kitchens": epic_kitchens,
    "audioset-20k": lambda folder: audioset(folder, "20k"),
    "audioset-2m": lambda folder: audioset(folder, "2m"),
}


def _task(folder: Path, name: str, rows: Sequence[Row]) -> Task:
    """A task of rows: with roles, or with folds; one label a clip, or any number."""
    splits = sorted({row.split for row in rows})
    roles = [split for split in splits if split in ROLES]
    if not rows:
        raise TaskError(f"{folder} holds no clips of {name}: unpack the audio there")
    if roles and (set(splits) - set(ROLES) or not {"train", "test"} <= set(roles)):
        raise TaskError(f"{folder}: splits are {', '.join(splits)}; use train, test and maybe valid, or folds alone")
    if twice := [file for file, times in Counter(row.file for row in rows).items() if times > 1]:
        raise TaskError(f"{folder}: {twice[0]} is listed twice ({len(twice)} such files)")
    vocabulary = tuple(sorted({label for row in rows for label in row.labels}))
    numbers = {label: number for number, label in enumerate(vocabulary)}
    many = any(len(row.labels) != 1 for row in rows)
    metadata: dict[str, Any] = {
        "task_name": name,
        "embedding_type": "scene",
        "prediction_type": "multilabel" if many else "multiclass",
        "split_mode": "trainvaltest" if roles else "presplit_kfold",
        "splits": splits,
        "evaluation": ["mAP" if many else "top1_acc"],
    }
    items = (Item(r.split, r.file, r.group, tuple(numbers[label] for label in r.labels)) for r in rows)
    return Listed(folder, metadata, vocabulary, tuple(sorted(items, key=lambda item: (item.split, item.file))))
