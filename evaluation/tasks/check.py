"""Checks that tasks on disk follow the format of HEAR's kit: ``python -m evaluation.tasks.check TASKS``.

The kit itself checks little of this: a wrong rate or a surplus label silently gives wrong scores.
"""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import soundfile

SCENE = {"top1_acc", "pitch_acc", "chroma_acc", "mAP", "d_prime", "aucroc"}
EVENT = {"event_onset_200ms_fms", "event_onset_50ms_fms", "event_onset_offset_50ms_20perc_fms", "segment_1s_er"}
OF_EVERY_CLASS = {"mAP", "d_prime", "aucroc"}  # undefined for a class without test clips
OF_SEMITONES = {"pitch_acc", "chroma_acc"}  # chroma is the index into the vocabulary modulo 12
NEEDED = (
    *("task_name", "embedding_type", "prediction_type", "split_mode"),
    *("splits", "sample_duration", "evaluation"),
)
TRAIN_VALID_TEST = {"train", "valid", "test"}
SHOWN = 5  # files named in one fault

Annotations = dict[str, dict[str, Any]]  # split -> file -> labels


def faults(folder: Path) -> list[str]:
    """The faults of a task's folder, one line each; an empty list for a good one."""
    try:
        metadata = json.loads((folder / "task_metadata.json").read_text())
        if missing := [key for key in NEEDED if key not in metadata]:
            return [f"task_metadata.json lacks {', '.join(missing)}"]
        annotations: Annotations = {
            split: json.loads((folder / f"{split}.json").read_text()) for split in metadata["splits"]
        }
        with open(folder / "labelvocabulary.csv", newline="") as file:
            vocabulary = list(csv.reader(file))
    except (OSError, ValueError) as error:
        return [str(error)]
    if basic := [*_metadata(metadata), *_splits(metadata)]:
        return basic  # the other checks rely on these
    return [
        *(*_names(annotations), *_labels(metadata, annotations), *_vocabulary(metadata, annotations, vocabulary)),
        *(*_audio(folder, metadata, annotations), *_groups(folder, annotations)),
    ]


def _metadata(metadata: dict[str, Any]) -> Iterator[str]:
    kind, seconds, names = metadata["embedding_type"], metadata["sample_duration"], metadata["evaluation"]
    if kind not in ("scene", "event"):
        yield f"embedding_type is {kind!r}"
        return
    if metadata["prediction_type"] not in ("multiclass", "multilabel"):
        yield f"prediction_type is {metadata['prediction_type']!r}"
    if kind == "event" and metadata["prediction_type"] != "multilabel":
        yield "an event task has prediction_type multilabel"
    if not (seconds is None or (isinstance(seconds, int | float) and seconds > 0)):
        yield f"sample_duration is {seconds!r}, neither seconds nor null"
    metrics = SCENE if kind == "scene" else EVENT
    if not names or not set(names) <= metrics:
        yield f"evaluation is {names}; for {kind} tasks the kit knows {', '.join(sorted(metrics))}"
    if kind == "event" and not metadata.get("use_scoring_for_early_stopping", True):
        grid = metadata.get("evaluation_params", {}).get("event_postprocessing_grid", {})
        if [len(grid.get(key, [])) for key in ("median_filter_ms", "min_duration")] != [1, 1]:
            yield "without scoring for early stopping, event_postprocessing_grid must have exactly one combination"


def _splits(metadata: dict[str, Any]) -> Iterator[str]:
    mode, splits = metadata["split_mode"], metadata["splits"]
    if mode == "trainvaltest":
        if sorted(splits) != sorted(TRAIN_VALID_TEST):
            yield f"splits of trainvaltest are {splits}"
    elif mode in ("presplit_kfold", "new_split_kfold"):
        if len(splits) < 3 or sorted(splits) != [f"fold{index:02}" for index in range(len(splits))]:
            yield f"splits of {mode} are {splits}: not fold00, fold01, ..., three at least"
    else:
        yield f"split_mode is {mode!r}"


def _names(annotations: Annotations) -> Iterator[str]:
    for split, files in annotations.items():
        if not files:
            yield f"{split} is empty"
    count = Counter(name for files in annotations.values() for name in files)
    if twice := [name for name, times in count.items() if times > 1]:
        yield f"in two splits: {_some(twice)}"
    if bad := [name for name in count if "/" in name or "\\" in name or not re.fullmatch(r".+\.wav", name)]:
        yield f"names with slashes, or without .wav: {_some(bad)}"


def _labels(metadata: dict[str, Any], annotations: Annotations) -> Iterator[str]:
    seconds, bad = metadata["sample_duration"], []
    for name, labels in ((name, labels) for files in annotations.values() for name, labels in files.items()):
        if not isinstance(labels, list):
            good = False
        elif metadata["embedding_type"] == "event":
            good = all(_is_event(event, seconds) for event in labels)
        else:
            right_number = len(labels) == 1 or metadata["prediction_type"] != "multiclass"
            good = (
                right_number
                and all(isinstance(label, str | int) for label in labels)
                and len(set(labels)) == len(labels)
            )
        if not good:
            bad.append(name)
    if bad:
        yield f"labels are not as prediction_type and embedding_type want them: {_some(bad)}"


def _is_event(event: Any, seconds: float | None) -> bool:
    if not isinstance(event, dict) or not {"label", "start", "end"} <= event.keys():
        return False
    return 0 <= event["start"] < event["end"] and (seconds is None or event["end"] <= 1000 * seconds)


def _vocabulary(metadata: dict[str, Any], annotations: Annotations, rows: list[list[str]]) -> Iterator[str]:
    by_split = {split: {str(name) for name in _plain(files)} for split, files in annotations.items()}
    used = set().union(*by_split.values())
    labels = [row[-1] for row in rows[1:]]
    if not rows or rows[0] != ["idx", "label"] or [row[0] for row in rows[1:]] != [str(i) for i in range(len(labels))]:
        yield "labelvocabulary.csv is not idx,label with idx from 0 on"
        return
    numeric = all(label.isdecimal() for label in labels)
    if set(labels) != used or labels != sorted(set(labels), key=int if numeric else str):
        yield f"labelvocabulary.csv is not all labels, sorted; too many or too few: {_some(list(set(labels) ^ used))}"
    names = set(metadata["evaluation"])
    if names & OF_SEMITONES and not (numeric and [int(label) for label in labels] == _run(labels)):
        yield "pitch_acc and chroma_acc need notes without a gap for labels"
    tested = ["test"] if metadata["split_mode"] == "trainvaltest" else list(annotations)
    if names & OF_EVERY_CLASS and (poor := [split for split in tested if by_split.get(split) != used]):
        yield f"{', '.join(sorted(names & OF_EVERY_CLASS))} need every class in {', '.join(poor)}"


def _run(labels: list[str]) -> list[int]:
    return list(range(int(labels[0]), int(labels[0]) + len(labels))) if labels else []


def _plain(files: dict[str, Any]) -> Iterator[Any]:
    for labels in files.values():
        for label in labels if isinstance(labels, list) else []:
            yield label.get("label") if isinstance(label, dict) else label


def _audio(folder: Path, metadata: dict[str, Any], annotations: Annotations) -> Iterator[str]:
    rates = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    if not rates:
        yield "there is no folder of audio"
    for rate in rates:
        if not rate.name.isdecimal():
            yield f"the folder {rate.name} is no sample rate"
            continue
        for split, files in annotations.items():
            present = {path.name for path in (rate / split).glob("*")}
            if present != files.keys():
                yield f"{rate.name}/{split} has other files than {split}.json: {_some(list(present ^ files.keys()))}"
            if bad := [name for name in sorted(present & files.keys()) if not _is_clip(rate / split / name, metadata)]:
                yield f"{rate.name}/{split}: not mono 16-bit WAV of that rate and the task's length: {_some(bad)}"


def _is_clip(path: Path, metadata: dict[str, Any]) -> bool:
    rate, seconds = int(path.parent.parent.name), metadata["sample_duration"]
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError:
        return False
    properties = (info.format, info.subtype, info.channels, info.samplerate)
    right_length = info.frames > 0 if seconds is None else info.frames == round(seconds * rate)
    return properties == ("WAV", "PCM_16", 1, rate) and right_length


def _groups(folder: Path, annotations: Annotations) -> Iterator[str]:
    """``groups.csv`` is optional, as the kit does not read it. If present, it names every clip."""
    path = folder / "groups.csv"
    if not path.exists():
        return
    with open(path, newline="") as file:
        head, *rows = csv.reader(file)
    clips = sorted((split, name) for split, files in annotations.items() for name in files)
    if head != ["split", "file", "group"] or sorted((row[0], row[1]) for row in rows) != clips:
        yield "groups.csv is not one row split,file,group for each clip"
    elif not all(row[2] for row in rows):
        yield "groups.csv has clips without a group"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(map(str, names))[:SHOWN]) + more


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("tasks", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(tasks: Path) -> None:
    """Checks every entry of the folder TASKS, as HEAR's kit treats each one as a task.

    Exit codes: 0 all are good, 1 there are faults, which are listed.
    """
    count = 0
    for entry in sorted(tasks.iterdir()):
        entry_faults = faults(entry) if entry.is_dir() else ["is no task's folder, and the kit stops at it"]
        click.echo(
            "\n".join(
                [f"{entry.name}: {'FAULTS' if entry_faults else 'good'}", *(f"  {fault}" for fault in entry_faults)]
            )
        )
        count += len(entry_faults)
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
