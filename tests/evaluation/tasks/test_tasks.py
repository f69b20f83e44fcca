"""Tasks read as HEAR's kit reads them."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.tasks import tasks
from evaluation.tasks.tasks import Fold, TaskError
from tests.evaluation import toy


def change(folder: Path, **metadata: Any) -> Path:
    file = folder / "task_metadata.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **metadata}))
    return folder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    task = tasks.read(toy.tones(tmp_path))
    assert task.vocabulary == ("class0", "class1", "class2")
    assert len(task.items) == 36
    first = next(item for item in task.items if item.file == "train-004.wav")
    assert (first.split, first.group, first.labels) == ("train", "train-group1", (1,))
    assert task.audio(first, 16000).is_file()
    assert (task.score, task.chance, task.is_event) == ("accuracy", pytest.approx(1 / 3), False)


def test_events_are_read(tmp_path: Path) -> None:
    task = tasks.read(toy.beeps(tmp_path))
    annotations = json.loads((task.folder / "test.json").read_text())
    item = next(item for item in task.items if item.file == "test-3.wav")
    assert [vars(event) for event in item.events] == annotations["test-3.wav"]
    assert task.is_event


def test_one_round_of_train_valid_test(tmp_path: Path) -> None:
    assert tasks.read(toy.tones(tmp_path)).folds == (Fold(("train",), "valid", "test"),)


def test_each_fold_tests_once_and_the_next_validates(tmp_path: Path) -> None:
    task = tasks.read(change(toy.tones(tmp_path, splits=toy.FOLDS), splits=["fold02", "fold00", "fold03", "fold01"]))
    assert task.folds == (
        Fold(("fold02", "fold03"), "fold01", "fold00"),
        Fold(("fold00", "fold03"), "fold02", "fold01"),
        Fold(("fold00", "fold01"), "fold03", "fold02"),
        Fold(("fold01", "fold02"), "fold00", "fold03"),
    )


@pytest.mark.parametrize(
    ("metric", "score"), [("top1_acc", "accuracy"), ("pitch_acc", "pitch"), ("mAP", "mean_precision")]
)
def test_tasks_of_hear_itself_are_scored_by_their_first_metric(tmp_path: Path, metric: str, score: str) -> None:
    folder = change(toy.tones(tmp_path), open_suite={}, evaluation=[metric, "d_prime"])
    (folder / "groups.csv").unlink()
    task = tasks.read(folder)
    assert (task.score, task.chance) == (score, None)
    assert len({item.group for item in task.items}) == len(task.items)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"open_suite": {"score": "beauty"}}, "score 'beauty' is not one of accuracy, mean_recall"),
        ({"open_suite": {"score": "onset_50ms"}}, "not one of accuracy"),
        ({"open_suite": {}, "evaluation": ["d_prime"]}, "'d_prime' is not one of"),
        ({"prediction_type": "multilabel"}, "a multilabel task is scored by mean_precision"),
        ({"splits": ["train", "test"], "split_mode": "presplit_kfold"}, "need three"),
    ],
)
def test_what_cannot_be_scored_says_so(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    folder = change(toy.tones(tmp_path), **metadata)
    with pytest.raises(TaskError, match=message):
        _ = (tasks.read(folder).score, tasks.read(folder).folds)


def test_a_multiclass_clip_has_one_label(tmp_path: Path) -> None:
    folder = toy.tones(tmp_path)
    (folder / "test.json").write_text(json.dumps({"test-000.wav": ["class0", "class1"]}))
    with pytest.raises(TaskError, match=r"test/test-000\.wav has 2 labels"):
        tasks.read(folder)


def test_a_rate_that_is_not_there_is_taken_from_the_highest(tmp_path: Path) -> None:
    task = tasks.read(toy.tones(tmp_path))
    assert task.tree(44100) == 16000
    (task.folder / "48000").mkdir()
    assert (task.tree(44100), task.tree(16000)) == (48000, 16000)


def test_tasks_of_hear_that_share_a_name_stay_apart(tmp_path: Path) -> None:
    for size in ("5h", "50h"):
        folder = toy.tones(tmp_path / size, "nsynth_pitch").rename(tmp_path / f"nsynth_pitch-v2.2.3-{size}")
        metadata = json.loads((folder / "task_metadata.json").read_text())
        del metadata["open_suite"]
        (folder / "task_metadata.json").write_text(json.dumps(metadata))
    names = ["nsynth_pitch-v2.2.3-50h", "nsynth_pitch-v2.2.3-5h"]
    assert [task.name for task in tasks.find(tmp_path)] == names
    assert [task.name for task in tasks.find(tmp_path, ("nsynth_pitch",))] == names
    assert [task.name for task in tasks.find(tmp_path, (names[1],))] == names[1:]


def test_tasks_are_found_by_name_or_folder(tmp_path: Path) -> None:
    toy.tones(tmp_path, "one")
    toy.tones(tmp_path, "two")
    assert [task.name for task in tasks.find(tmp_path)] == ["one", "two"]
    assert [task.name for task in tasks.find(tmp_path, ("two",))] == ["two"]
    assert [task.name for task in tasks.find(tmp_path, ("one-open1-full",))] == ["one"]
    with pytest.raises(TaskError, match=r"no task three in .*; there are one, two"):
        tasks.find(tmp_path, ("three",))
    with pytest.raises(TaskError, match="holds no tasks"):
        tasks.find(tmp_path / "one-open1-full")
