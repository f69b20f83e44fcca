"""What a task of the suite is: where its clips come from, and how many are expected."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...tasks.write import Clip, Task
from .recordings import Library

TRAIN_VALID_TEST = ("train", "valid", "test")
SCENE_METRICS = {"accuracy": ("top1_acc",), "mean_recall": ("top1_acc",), "pitch": ("pitch_acc", "chroma_acc")}
EVENT_METRICS = {
    "onset_200ms": ("event_onset_200ms_fms", "segment_1s_er"),
    "onset_50ms": ("event_onset_50ms_fms",),
}
Expected = Mapping[tuple[str, str], int]  # (split, label) -> clips


@dataclass(frozen=True)
class Plan:
    """A task, the packages that it needs, and a generator of its clips.

    ``expected`` counts were taken once by other code; "train" stands there for training and validation together, and
    a label or a split left empty for all.
    """

    task: Task
    packages: tuple[str, ...]
    clips: Callable[[Library], Iterator[Clip]]
    expected: Expected


def scene(name: str, score: str, chance: float, seconds: float | None, folds: int = 0) -> Task:
    """A task of one label a clip; of so many folds, or of a training, a validation and a test split."""
    return Task(
        name=name,
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="presplit_kfold" if folds else "trainvaltest",
        splits=tuple(f"fold{fold:02}" for fold in range(folds)) or TRAIN_VALID_TEST,
        sample_duration=seconds,
        evaluation=SCENE_METRICS[score],
        extra={"open_suite": {"score": score, "chance": round(chance, 4)}},
    )


def events(name: str, score: str, seconds: float, median_ms: float, shortest_ms: float) -> Task:
    """A task of events in time.

    HEAR's kit on a current Python can only score such a task at its end: hence one setting of its post-processing, and
    no scoring while it trains.
    """
    grid: dict[str, Any] = {"median_filter_ms": [median_ms], "min_duration": [shortest_ms]}
    return Task(
        name=name,
        embedding_type="event",
        prediction_type="multilabel",
        split_mode="trainvaltest",
        splits=TRAIN_VALID_TEST,
        sample_duration=seconds,
        evaluation=EVENT_METRICS[score],
        extra={
            "open_suite": {"score": score, "chance": 0.0},
            "use_scoring_for_early_stopping": False,
            "evaluation_params": {"event_postprocessing_grid": grid},
        },
    )
