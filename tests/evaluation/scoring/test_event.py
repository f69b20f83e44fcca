"""Event tasks: found where they are, chosen on validation clips, scored on clips that nothing else sees."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.scoring import embeddings, event
from evaluation.scoring.embeddings import Model, Timestamps
from evaluation.scoring.scene import Outcome
from evaluation.scoring.scores import SCORES
from evaluation.tasks import tasks
from evaluation.tasks.tasks import Task
from evaluation.tasks.write import Event
from tests.evaluation import stand_in, toy


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return tasks.read(toy.beeps(tmp_path_factory.mktemp("event"), clips=8))


@pytest.fixture(scope="module")
def frames(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Timestamps:
    return embeddings.timestamps(task, Model(stand_in.__name__), tmp_path_factory.mktemp("cache"))


def measure(task: Task, outcome: Outcome) -> float:
    return float(SCORES[task.score](outcome.columns, np.ones((1, len(outcome.groups)), np.float32))[0])


def test_beeps_are_found(task: Task, frames: Timestamps) -> None:
    outcome = event.score(task, frames)
    assert measure(task, outcome) > 0.9
    assert outcome.extra["segment_error_rate"] < 0.2
    assert outcome.columns["real"].tolist() == [4] * 8
    assert (outcome.columns["hits"] <= np.minimum(outcome.columns["found"], 4)).all()
    assert outcome.groups.tolist() == [f"test-group{n // 2}" for n in range(8)]
    [chosen] = outcome.chosen
    assert chosen["penalty"] in event.PENALTIES
    assert chosen["threshold"] in event.THRESHOLDS
    assert chosen["valid"] > 0.9


def test_labels_elsewhere_are_not_found(task: Task, frames: Timestamps) -> None:
    """Of test clips alone: they change what is counted, and nothing that is found."""
    later = [
        replace(item, events=tuple(Event(e.label, e.start + 90, e.end + 90) for e in item.events))
        if item.split == "test"
        else item
        for item in task.items
    ]
    true, moved = event.score(task, frames), event.score(replace(task, items=tuple(later)), frames)
    assert true.chosen == moved.chosen
    assert np.array_equal(true.columns["found"], moved.columns["found"])
    assert measure(task, moved) < 0.3


def test_a_wider_tolerance_finds_more(task: Task, frames: Timestamps) -> None:
    shifted = [
        replace(item, events=tuple(Event(e.label, e.start + 90, e.end + 90) for e in item.events))
        for item in task.items
    ]
    late = replace(task, items=tuple(shifted))
    wide = replace(late, metadata={**task.metadata, "open_suite": {"score": "onset_200ms"}})
    assert measure(wide, event.score(wide, frames)) > measure(late, event.score(late, frames))


def test_frames_sound_from_an_events_start_to_its_end(task: Task, frames: Timestamps) -> None:
    clip = next(index for index, item in enumerate(task.items) if item.file == "train-0.wav")
    features, targets = event._frames(task, np.array([clip]), frames)
    times = frames.times[clip]
    assert features.shape == (len(times), stand_in.BANDS)
    for kind, label in enumerate(task.vocabulary):
        sounding = [any(e.start <= t <= e.end for e in task.items[clip].events if e.label == label) for t in times]
        assert targets[:, kind].tolist() == [float(yes) for yes in sounding]


def test_many_frames_are_thinned(task: Task, frames: Timestamps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event, "FRAMES", 100)
    features, targets = event._frames(task, np.arange(len(task.items)), frames)
    assert len(features) == len(targets)
    assert 60 < len(features) < 140
    assert measure(task, event.score(task, frames)) > 0.6
