"""The tasks of the suite in their order, and each one's counts beside those that are expected."""

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
NEAR, FAR = 0.02, 0.2  # shares of an expected count: what may differ in silence, and what makes a task another one


def choose(wanted: Sequence[str]) -> list[Plan]:
    """The tasks of these names; ``word`` stands for ``word_de`` and ``word_xx``, ``sfx`` for both of its."""
    for name in wanted:
        if not any(_named(plan, name) for plan in PLANS):
            raise ValueError(f"there is no task {name}; there are {', '.join(NAMES)}")
    return [plan for plan in PLANS if not wanted or any(_named(plan, name) for name in wanted)]


def _named(plan: Plan, name: str) -> bool:
    return plan.task.name == name or (plan.task.name.startswith(f"{name}_") and name not in NAMES)


@dataclass(frozen=True)
class Tally:
    """What a written task holds: clips by split, the size of its vocabulary, and its expected counts, met or not."""

    splits: dict[str, int]
    classes: int
    near: list[str]
    off: list[str]
    far: list[str]

    def lines(self, name: str) -> list[str]:
        """For people."""
        splits = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        checked = len(self.near) + len(self.off) + len(self.far)
        head = f"{name}: {sum(self.splits.values())} clips ({splits}), {self.classes} classes"
        verdict = f"{len(self.near)} of {checked} expected counts met within {NEAR:.0%}"
        warnings = [f"  warning: {line}" for line in self.off]
        return [f"{head}; {verdict}", *warnings, *(f"  error: {line}" for line in self.far)]


def tally(folder: Path, expected: Expected) -> Tally:
    """Counts a task on disk."""
    metadata = json.loads((folder / "task_metadata.json").read_text())
    told = {split: json.loads((folder / f"{split}.json").read_text()) for split in metadata["splits"]}
    classes = len((folder / "labelvocabulary.csv").read_text().splitlines()) - 1
    near, off, far = verdicts([(split, labels) for split in told for labels in told[split].values()], expected)
    return Tally({split: len(files) for split, files in told.items()}, classes, near, off, far)


def verdicts(clips: list[tuple[str, list[Any]]], expected: Expected) -> tuple[list[str], list[str], list[str]]:
    """Expected counts that are met, that are not quite, and that are far from it."""
    result: tuple[list[str], list[str], list[str]] = ([], [], [])
    for (side, label), want in expected.items():
        got = sum(
            (not side or side == ("train" if split == "valid" else split)) and (not label or label in labels)
            for split, labels in clips
        )
        line = f"{' '.join(filter(None, (side, label))) or 'in all'}: {got} clips, expected {want}"
        share = abs(got - want) / want
        result[0 if share <= NEAR else 1 if share <= FAR else 2].append(line)
    return result
