"""The definition of a task in the suite: metadata, packages, generator of clips, expected counts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...tasks.write import Clip, TaskMetadata
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
    """A task's metadata, the packages that it needs, and a generator of its clips.

    The ``expected`` counts come from an independent implementation. There "train" means training and validation
    together, and an empty split or label means all.
    """

    task: TaskMetadata
    packages: tuple[str, ...]
    clips: Callable[[Library], Iterator[Clip]]
    expected: Expected


def scene(name: str, score: str, chance: float, seconds: float | None, folds: int = 0) -> TaskMetadata:
    """A task with one label a clip; with ``folds``, or with training, validation and test splits."""
    return TaskMetadata(
        name=name,
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="presplit_kfold" if folds else "trainvaltest",
        splits=tuple(f"fold{fold:02}" for fold in range(folds)) or TRAIN_VALID_TEST,
        sample_duration=seconds,
        evaluation=SCENE_METRICS[score],
        extra={"open_suite": {"score": score, "chance": round(chance, 4)}},
    )


def events(name: str, score: str, seconds: float, median_ms: float, shortest_ms: float) -> TaskMetadata:
    """A task of events in time.

    On a current Python, HEAR's kit scores such a task only after training. So the metadata give one setting of the
    post-processing and turn off scoring during training.
    """
    grid: dict[str, Any] = {"median_filter_ms": [median_ms], "min_duration": [shortest_ms]}
    return TaskMetadata(
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
