"""The recordings of a pretraining corpus, and draws by hash that stay the same as the corpus grows."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from corpora import catalogue
from corpora.pack import Pack, PackError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Recording:
    """A clip of the corpus; ``row`` is its index in the pack."""

    row: int
    key: str
    package: str
    path: str
    kind: str
    seconds: float
    source_rate: int

    @property
    def stem(self) -> str:
        """The file's own name, without folder and extension, in lower case."""
        return self.path.lower().replace("!", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]


class Library:
    """A corpus's manifest and pack. Refuses packages of the evaluation."""

    def __init__(self, folder: Path) -> None:
        self.pack = Pack.open(folder)
        with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if [row["key"] for row in rows] != self.pack.keys:
            raise PackError(f"{folder}: manifest.csv and the pack differ; `python -m corpora.pack {folder}`")
        if kept := sorted({row["package"] for row in rows if catalogue.is_eval(row["package"])}):
            raise PackError(f"{folder}: holds packages of the evaluation ({', '.join(kept)}): no development set")
        self.recordings = [
            Recording(
                number,
                row["key"],
                row["package"],
                row["path"],
                row["kind"],
                float(row["seconds"]),
                int(row["source_rate"]),
            )
            for number, row in enumerate(rows)
        ]

    def of(self, *packages: str) -> Iterator[Recording]:
        """The recordings of some packages, in the manifest's order."""
        return (recording for recording in self.recordings if recording.package in packages)

    def pcm(self, recording: Recording) -> np.ndarray:
        """The samples, int16 at 16 kHz."""
        return self.pack.clip(recording.row)


def rank(*words: object) -> int:
    """A 64-bit hash of the words: it decides the order and the chance of every draw here."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:8], "big")


def share(*words: object) -> float:
    """A hash of the words as a number from 0 to 1."""
    return rank(*words) / 2**64


def draw(recordings: Iterable[Recording], count: int, salt: str) -> list[Recording]:
    """The first ``count`` recordings in an order by hashes of their keys."""
    return sorted(recordings, key=lambda recording: rank(salt, recording.key))[:count]


def round_robin(items: Iterable[Item], group: Callable[[Item], str], count: int) -> list[Item]:
    """``count`` items, taken from the groups in turn, so that no group dominates."""
    queues: dict[str, list[Item]] = {}
    for item in items:
        queues.setdefault(group(item), []).append(item)
    chosen: list[Item] = []
    depth = 0
    while len(chosen) < count and any(len(queue) > depth for queue in queues.values()):
        chosen += [queue[depth] for queue in queues.values() if len(queue) > depth]
        depth += 1
    return chosen[:count]


def splits(words: Sequence[object], tested: bool) -> str:
    """``test`` if ``tested``; otherwise ``valid`` for a tenth of all words and ``train`` for the rest."""
    return "test" if tested else "valid" if share("valid", *words) < 0.1 else "train"
