"""Scene tasks: what is fitted on what, and that the labels of test clips are used for scoring alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.scoring import scene
from evaluation.scoring.scores import SCORES
from evaluation.tasks import tasks
from evaluation.tasks.tasks import Task
from tests.evaluation import toy


def vectors(task: Task, spread: float = 0.3) -> np.ndarray:
    """Two useful features and ten of noise."""
    turn = np.random.RandomState(1)
    labels = np.array([item.labels[0] for item in task.items])
    useful = np.stack([np.cos(2.1 * labels), np.sin(2.1 * labels)], 1)
    return np.hstack([useful + spread * turn.randn(*useful.shape), turn.randn(len(labels), 10)]).astype(np.float32)


def value(task: Task, columns: dict[str, np.ndarray]) -> float:
    return float(SCORES[task.score](columns, np.ones((1, len(columns["truth"])), np.float32))[0])


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return tasks.read(toy.tones(tmp_path, splits=toy.FOLDS, clips=24))


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_what_can_be_told_apart_is(task: Task, head: str) -> None:
    outcome = scene.score(task, vectors(task), head)
    assert value(task, outcome.columns) > 0.9
    assert value(task, outcome.others["knn"]) > 0.7
    assert value(task, outcome.others["majority"]) == pytest.approx(1 / 3)


def test_noise_is_at_chance(task: Task) -> None:
    outcome = scene.score(task, np.random.RandomState(0).randn(len(task.items), 12).astype(np.float32))
    assert abs(value(task, outcome.columns) - 1 / 3) < 0.15


def test_every_clip_is_tested_once_with_its_fold_and_group(task: Task) -> None:
    outcome = scene.score(task, vectors(task))
    names = sorted({item.split for item in task.items})
    assert [names[fold] for fold in outcome.folds] == [item.split for item in task.items]
    assert outcome.groups.tolist() == [item.group for item in task.items]
    assert outcome.columns["truth"].tolist() == [item.labels[0] for item in task.items]
    assert len(outcome.chosen) == 4


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_labels_of_test_clips_change_no_prediction(tmp_path: Path, head: str) -> None:
    task = tasks.read(toy.tones(tmp_path))
    items = [replace(item, labels=(2,)) if item.split == "test" else item for item in task.items]
    other = replace(task, items=tuple(items))
    one, two = (scene.score(t, vectors(task), head) for t in (task, other))
    assert set(one.columns["truth"]) > set(two.columns["truth"])
    for name in ("knn", "majority"):
        assert np.array_equal(one.others[name]["predicted"], two.others[name]["predicted"])
    assert np.array_equal(one.columns["predicted"], two.columns["predicted"])
    assert one.chosen == two.chosen


def test_mean_recall_is_fitted_for_as_well(tmp_path: Path) -> None:
    """A class of few clips is not given up for the sake of accuracy."""
    task = tasks.read(toy.tones(tmp_path, clips=60, score="mean_recall"))
    kept = [i for i, item in enumerate(task.items) if item.labels[0] or item.split == "test" or i % 10 == 0]
    few = replace(task, items=tuple(task.items[i] for i in kept))
    x = vectors(task, spread=1.2)[kept]
    balanced = scene.score(few, x)
    plain = scene.score(replace(few, metadata={**few.metadata, "open_suite": {"score": "accuracy"}}), x)
    recalls = [float((o.columns["predicted"][o.columns["truth"] == 0] == 0).mean()) for o in (balanced, plain)]
    assert recalls[0] > recalls[1] + 0.1


def test_many_labels_a_clip_are_ranked(tmp_path: Path) -> None:
    task = tasks.read(toy.tones(tmp_path))
    turn = np.random.RandomState(0)
    items = [replace(item, labels=tuple(np.flatnonzero(turn.random_sample(3) < 0.5).tolist())) for item in task.items]
    many = {"open_suite": {}, "evaluation": ["mAP"], "prediction_type": "multilabel"}
    task = replace(task, items=tuple(items), metadata={**task.metadata, **many})
    x = np.array([[index in item.labels for index in range(3)] for item in items]) + 0.3 * turn.randn(len(items), 3)
    outcome = scene.score(task, x.astype(np.float32))
    assert outcome.columns["truth"].shape == outcome.columns["predicted"].shape == (12, 3)
    assert value(task, outcome.columns) > 0.9
