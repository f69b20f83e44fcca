"""The tasks of the suite in order, and the comparison of their counts with the expected ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import effects, languages, notes, patterns, scapes, speakers, speech_music, strokes, voices, words
from .plan import Expected, Plan

MODULES = (words, languages, speakers, notes, strokes, effects, scapes, patterns, speech_music, voices)
PLANS: tuple[Plan, ...] = tuple(plan for module in MODULES for plan in module.PLANS)
NAMES = [plan.task.name for plan in PLANS]
NEAR, FAR = 0.02, 0.2  # relative deviations of a count: no warning up to the first, an error beyond the second


def choose(names: Sequence[str]) -> list[Plan]:
    """The plans of these names. ``word`` means ``word_de`` and ``word_xx``; ``sfx`` means both of its halves."""
    for name in names:
        if not any(_matches_name(plan, name) for plan in PLANS):
            raise ValueError(f"there is no task {name}; there are {', '.join(NAMES)}")
    return [plan for plan in PLANS if not names or any(_matches_name(plan, name) for name in names)]


def _matches_name(plan: Plan, name: str) -> bool:
    return plan.task.name == name or (plan.task.name.startswith(f"{name}_") and name not in NAMES)


@dataclass(frozen=True)
class Tally:
    """The counts of a written task: clips by split, classes, and its deviations from the expected counts."""

    splits: dict[str, int]
    classes: int
    near: list[str]
    off: list[str]
    far: list[str]

    def lines(self, name: str) -> list[str]:
        """A summary in lines of text."""
        splits = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        checked = len(self.near) + len(self.off) + len(self.far)
        head = f"{name}: {sum(self.splits.values())} clips ({splits}), {self.classes} classes"
        verdict = f"{len(self.near)} of {checked} expected counts met within {NEAR:.0%}"
        warnings = [f"  warning: {line}" for line in self.off]
        return [f"{head}; {verdict}", *warnings, *(f"  error: {line}" for line in self.far)]


def tally(folder: Path, expected: Expected) -> Tally:
    """Counts a task on disk."""
    metadata = json.loads((folder / "task_metadata.json").read_text())
    annotations = {split: json.loads((folder / f"{split}.json").read_text()) for split in metadata["splits"]}
    classes = len((folder / "labelvocabulary.csv").read_text().splitlines()) - 1
    near, off, far = verdicts(
        [(split, labels) for split in annotations for labels in annotations[split].values()], expected
    )
    return Tally({split: len(files) for split, files in annotations.items()}, classes, near, off, far)


def verdicts(clips: list[tuple[str, list[Any]]], expected: Expected) -> tuple[list[str], list[str], list[str]]:
    """Lines about the expected counts: met, deviating up to ``FAR``, deviating beyond it."""
    result: tuple[list[str], list[str], list[str]] = ([], [], [])
    for (side, label), count in expected.items():
        found_count = sum(
            (not side or side == ("train" if split == "valid" else split)) and (not label or label in labels)
            for split, labels in clips
        )
        line = f"{' '.join(filter(None, (side, label))) or 'in all'}: {found_count} clips, expected {count}"
        share = abs(found_count - count) / count
        result[0 if share <= NEAR else 1 if share <= FAR else 2].append(line)
    return result
