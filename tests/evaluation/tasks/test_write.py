"""Tasks on disk: what is written passes every rule of HEAR's format, and each rule, once broken, is named."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from evaluation.suites.open import plan
from evaluation.tasks.check import faults, main
from evaluation.tasks.write import Clip, Event, TaskMetadata, write

SCENE = plan.scene("tone", "pitch", 1 / 3, seconds=0.1)
EVENTS = plan.events("knock", "onset_50ms", seconds=0.2, median_ms=0, shortest_ms=0)
FOLDS = plan.scene("fold", "accuracy", 1 / 3, seconds=None, folds=3)
SPLITS = ("train", "valid", "test")


def clips(task: TaskMetadata) -> list[Clip]:
    """A clip of each of three classes for every split, no two of one length."""
    result = []
    for index, split in enumerate(task.splits):
        for note in (9, 10, 11):
            name = f"{split}-{note}"
            labels = [Event(str(note), 10.0, 50.0)] if task.embedding_type == "event" else [str(note)]
            pcm = np.full(1000 + 300 * index + note, note, np.int16)
            result.append(Clip(split, name, pcm, labels, f"player-{split}"))
    return result


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    for task, rates in ((SCENE, [16000, 48000]), (EVENTS, [16000]), (FOLDS, [16000])):
        write(tmp_path / "tasks", task, clips(task), rates)
    return tmp_path / "tasks"


def test_what_is_written_is_good(tasks: Path) -> None:
    assert {path.name: faults(path) for path in tasks.iterdir()} == {
        "fold-open1-full": [],
        "knock-open1-full": [],
        "tone-open1-full": [],
    }
    result = CliRunner().invoke(main, [str(tasks)])
    assert (result.exit_code, result.output.count(": good")) == (0, 3)


def test_clips_are_cut_and_filled_up_to_the_tasks_length_at_every_rate(tasks: Path) -> None:
    short, rate = soundfile.read(tasks / "tone-open1-full/16000/train/train-9.wav", dtype="int16")
    assert (len(short), rate) == (1600, 16000)
    assert short[:1009].tolist() == [9] * 1009
    assert not short[1009:].any()
    long, rate = soundfile.read(tasks / "tone-open1-full/48000/test/test-11.wav", dtype="int16")
    assert (len(long), rate) == (4800, 48000)
    own, _ = soundfile.read(tasks / "fold-open1-full/16000/fold02/fold02-10.wav")
    assert len(own) == 1610


def test_labels_of_digits_are_sorted_as_numbers(tasks: Path) -> None:
    assert (tasks / "tone-open1-full/labelvocabulary.csv").read_text().split() == ["idx,label", "0,9", "1,10", "2,11"]


def test_groups_name_the_source_of_every_clip(tasks: Path) -> None:
    with open(tasks / "tone-open1-full/groups.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["split"], row["file"], row["group"]) for row in rows} == {
        (split, f"{split}-{note}.wav", f"player-{split}") for split in SPLITS for note in (9, 10, 11)
    }


def test_a_task_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    old = write(tmp_path / "tasks", SCENE, clips(SCENE))

    def broken() -> Any:
        yield from clips(SCENE)[:4]
        raise KeyError("gone")

    with pytest.raises(KeyError):
        write(tmp_path / "tasks", SCENE, broken())
    assert faults(old) == []
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [old.name]
    write(tmp_path / "tasks", SCENE, clips(SCENE))  # what the broken one left is swept away
    assert [path.name for path in tmp_path.iterdir()] == ["tasks"]


def test_two_clips_of_one_name_and_splits_without_clips_are_refused(tmp_path: Path) -> None:
    good = clips(SCENE)
    with pytest.raises(ValueError, match="two clips are named train-9"):
        write(tmp_path, SCENE, [*good, replace(good[0], split="test")])
    with pytest.raises(ValueError, match="no clips in valid, test"):
        write(tmp_path, SCENE, good[:3])


def _metadata(**changes: Any) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = folder / "task_metadata.json"
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in content.items() if value != "gone"}))

    return plant


def _labels(split: str, **changes: Any) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = folder / f"{split}.json"
        content = json.loads(path.read_text())
        path.write_text(
            json.dumps({**content, **{f"{split}-{note[1:]}.wav": labels for note, labels in changes.items()}})
        )

    return plant


def _text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        text = (folder / name).read_bytes().decode()
        assert old in text
        (folder / name).write_bytes(text.replace(old, new).encode())

    return plant


def _wav(index: str, length: int = 1600, rate: int = 16000, channels: int = 1, **form: str) -> Callable[[Path], None]:
    return lambda folder: soundfile.write(folder / index, np.zeros((length, channels)), rate, **form)


def _both(*plants: Callable[[Path], None]) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        for one in plants:
            one(folder)

    return plant


def _renamed(folder: Path) -> None:
    (folder / "test.json").write_text((folder / "test.json").read_text().replace("test-9.wav", "train-9.wav"))
    (folder / "16000/test/test-9.wav").rename(folder / "16000/test/train-9.wav")
    shutil.rmtree(folder / "48000")


TONE, KNOCK, FOLD = "tone", "knock", "fold"
SEVEN = ("0,9\r\n1,10\r\n2,11", "0,7\r\n1,9\r\n2,10\r\n3,11")
CLIP = "16000/train/train-9.wav"
FAULTS: list[tuple[str, Callable[[Path], None], str]] = [
    (TONE, _metadata(sample_duration="gone"), "lacks sample_duration"),
    (TONE, _metadata(embedding_type="clip"), "embedding_type is 'clip'"),
    (TONE, _metadata(prediction_type="regression"), "prediction_type is 'regression'"),
    (TONE, _metadata(sample_duration="0.1"), "neither seconds nor null"),
    (TONE, _metadata(sample_duration=0), "neither seconds nor null"),
    (TONE, _metadata(evaluation=[]), "the kit knows"),
    (TONE, _metadata(evaluation=["accuracy"]), "the kit knows"),
    (TONE, _metadata(evaluation=["event_onset_50ms_fms"]), "the kit knows"),
    (TONE, _metadata(split_mode="kfold"), "split_mode is 'kfold'"),
    (TONE, _metadata(splits=["train", "test"]), "splits of trainvaltest"),
    (FOLD, _metadata(splits=["fold00", "fold01"]), "not fold00, fold01"),
    (FOLD, _metadata(split_mode="trainvaltest"), "splits of trainvaltest"),
    (KNOCK, _metadata(prediction_type="multiclass"), "an event task has prediction_type multilabel"),
    (KNOCK, _metadata(evaluation_params={}), "exactly one combination"),
    (
        KNOCK,
        _metadata(evaluation_params={"event_postprocessing_grid": {"median_filter_ms": [1, 2], "min_duration": [0]}}),
        "exactly one combination",
    ),
    (TONE, lambda folder: (folder / "valid.json").unlink(), "valid.json"),
    (TONE, lambda folder: (folder / "valid.json").write_text("{}"), "valid is empty"),
    (TONE, lambda folder: (folder / "task_metadata.json").write_text("{"), "Expecting"),
    (TONE, _renamed, "in two splits: train-9.wav"),
    (TONE, _text("test.json", "test-9.wav", "a/test-9.wav"), "names with slashes"),
    (TONE, _text("test.json", "test-9.wav", "test-9"), "without .wav: test-9"),
    (TONE, _labels("train", n9=["9", "10"]), "want them: train-9.wav"),
    (TONE, _labels("train", n9=[]), "want them: train-9.wav"),
    (TONE, _labels("train", n9="9"), "want them: train-9.wav"),
    (TONE, _labels("train", n9=[{"label": "9"}]), "want them: train-9.wav"),
    (KNOCK, _labels("train", n9=["9"]), "want them: train-9.wav"),
    (KNOCK, _labels("train", n9=[{"label": "9", "start": 60.0, "end": 50.0}]), "want them: train-9.wav"),
    (KNOCK, _labels("train", n9=[{"label": "9", "start": 60.0, "end": 201.0}]), "want them: train-9.wav"),
    (KNOCK, _labels("train", n9=[{"label": "9", "start": -1.0, "end": 20.0}]), "want them: train-9.wav"),
    (TONE, _text("labelvocabulary.csv", "idx", "index"), "is not idx,label"),
    (TONE, _text("labelvocabulary.csv", "1,10", "3,10"), "is not idx,label"),
    (TONE, _text("labelvocabulary.csv", "2,11\r\n", ""), "too many or too few: 11"),
    (TONE, _text("labelvocabulary.csv", "2,11", "2,11\r\n3,12"), "too many or too few: 12"),
    (FOLD, _text("labelvocabulary.csv", "0,9\r\n1,10", "0,10\r\n1,9"), "all labels, sorted"),
    (TONE, _both(_labels("train", n9=["7"]), _text("labelvocabulary.csv", *SEVEN)), "without a gap"),
    (FOLD, _metadata(evaluation=["pitch_acc"]), ""),
    (TONE, _both(_labels("test", n9=["10"]), _metadata(evaluation=["mAP"])), "every class in test"),
    (TONE, lambda folder: [shutil.rmtree(folder / rate) for rate in ("16000", "48000")], "no folder of audio"),
    (TONE, lambda folder: (folder / "16000").rename(folder / "16k"), "the folder 16k is no sample rate"),
    (TONE, lambda folder: (folder / CLIP).unlink(), "16000/train has other files than train.json: train-9.wav"),
    (TONE, lambda folder: shutil.copy(folder / CLIP, folder / "16000/train/more.wav"), "train.json: more.wav"),
    (TONE, lambda folder: (folder / CLIP).write_bytes(b"RIFF"), "task's length: train-9.wav"),
    (TONE, _wav(CLIP, length=1599), "task's length: train-9.wav"),
    (TONE, _wav(CLIP, rate=8000), "task's length: train-9.wav"),
    (TONE, _wav(CLIP, channels=2), "task's length: train-9.wav"),
    (TONE, _wav(CLIP, subtype="PCM_24"), "task's length: train-9.wav"),
    (TONE, _wav(CLIP, format="FLAC"), "task's length: train-9.wav"),
    (FOLD, _wav("16000/fold01/fold01-9.wav", length=0), "task's length: fold01-9.wav"),
    (TONE, _text("groups.csv", "player-valid", ""), "clips without a group"),
    (TONE, _text("groups.csv", "valid-9.wav", "valid-8.wav"), "not one row"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "plant", "message"), FAULTS, ids=[f"{n}: {message}" for n, (*_, message) in enumerate(FAULTS)]
)
def test_each_planted_fault_is_found(task: str, plant: Callable[[Path], None], message: str, tasks: Path) -> None:
    folder = tasks / f"{task}-open1-full"
    plant(folder)
    messages = faults(folder)
    assert any(message in fault for fault in messages) if message else messages == []


def test_everything_beside_the_tasks_is_a_fault(tasks: Path) -> None:
    (tasks / "notes.txt").touch()
    result = CliRunner().invoke(main, [str(tasks)])
    assert result.exit_code == 1
    assert "notes.txt: FAULTS\n  is no task's folder" in result.output
