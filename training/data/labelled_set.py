"""A labelled training set: a table of sources, clips of packed corpora or kinds of synthesis, each with its labels.

``training.data.make_labelled_set`` makes one: ``sources.csv``, ``set.json`` and ``valid.npz``, the fixed validation
mixtures.
"""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from corpora.clips import RATE
from corpora.pack import Pack, PackError
from hear_audioformer.files import write_text

SYNTHESIS = -1  # in place of a corpus's number
COLUMNS = ("corpus", "clip", "split", "group", "labels")


class Source(NamedTuple):
    """One thing to hear.

    Attributes:
        corpus: its number in the set, or ``SYNTHESIS``.
        clip: its key in the corpus, or the kind of synthesis.
        split: ``train`` or ``valid``; synthesis is in both, as it never makes the same sound twice.
        group: what it shares with clips that are not independent of it.
        tags: labels.
    """

    corpus: int
    clip: str
    split: str
    group: str
    tags: tuple[str, ...]


class Valid(NamedTuple):
    """The fixed mixtures: audio (mixtures, samples) as int16, and which classes are heard, (mixtures, classes)."""

    audio: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class LabelledSet:
    """The table with its corpora at hand.

    Attributes:
        folder: where it is kept.
        packs: the corpora.
        rows: of each corpus, the place of every key.
    """

    folder: Path
    classes: list[str]
    sources: list[Source]
    packs: list[Pack]
    rows: list[dict[str, int]]
    fingerprint: str

    @classmethod
    def of(cls, folder: Path, sources: list[Source], corpora: Sequence[Path]) -> "LabelledSet":
        """From a table in memory."""
        packs = [Pack.open(corpus) for corpus in corpora]
        rows = [{key: row for row, key in enumerate(pack.keys)} for pack in packs]
        classes = sorted({tag for source in sources for tag in source.tags})
        content = [[pack.fingerprint for pack in packs], sources]
        return cls(folder, classes, sources, packs, rows, hashlib.sha256(json.dumps(content).encode()).hexdigest())

    @classmethod
    def open(cls, folder: Path) -> "LabelledSet":
        """What ``write`` wrote; the corpora must be those that it was made of."""
        try:
            header = json.loads((folder / "set.json").read_text())
            with open(folder / "sources.csv", newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except OSError as error:
            command = f"python -m training.data.make_labelled_set {folder} --corpus ..."
            raise PackError(f"{folder}: holds no labelled set; `{command}` makes one") from error
        sources = [
            Source(int(row["corpus"]), row["clip"], row["split"], row["group"], tuple(row["labels"].split(";")))
            for row in rows
        ]
        labelled_set = cls.of(folder, sources, [Path(corpus) for corpus in header["corpora"]])
        if labelled_set.fingerprint != header["fingerprint"]:
            raise PackError(f"{folder}: its corpora are others than those that it was made of; make the set again")
        return labelled_set

    def write(self, corpora: Sequence[Path], valid: Valid, about: dict[str, Any]) -> None:
        """Keeps the table and the mixtures; ``set.json``, which comes last, says that the rest is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "set.json").unlink(missing_ok=True)
        with open(self.folder / "sources.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((*source[:4], ";".join(source.tags)) for source in self.sources)
        with open(self.folder / "valid.npz", "wb") as target:
            np.savez(target, audio=valid.audio, targets=np.packbits(valid.targets, axis=1))
        header = {"corpora": [str(path) for path in corpora], "fingerprint": self.fingerprint, "classes": self.classes}
        write_text(self.folder / "set.json", json.dumps({**header, **about}, indent=1, ensure_ascii=False) + "\n")

    def valid(self) -> Valid:
        """The fixed mixtures."""
        with np.load(self.folder / "valid.npz", allow_pickle=False) as file:
            targets = np.unpackbits(file["targets"], axis=1, count=len(self.classes))
            return Valid(file["audio"], targets)

    def of_split(self, split: str) -> list[Source]:
        """The sources of ``train`` or ``valid``, synthesis in either case."""
        return [source for source in self.sources if source.split == split or source.corpus == SYNTHESIS]

    def clip(self, source: Source) -> np.ndarray:
        """The samples of a recorded source, int16."""
        return self.packs[source.corpus].clip(self.rows[source.corpus][source.clip])

    def seconds(self, source: Source) -> float:
        """Its length; 0 of synthesis, which has none."""
        if source.corpus == SYNTHESIS:
            return 0.0
        return int(self.packs[source.corpus].lengths[self.rows[source.corpus][source.clip]]) / RATE

    @property
    def hours(self) -> float:
        """Of recordings to learn from."""
        return sum(self.seconds(source) for source in self.sources if source.split == "train") / 3600


def odds(sources: Sequence[Source], classes: Iterable[str]) -> Tensor:
    """How often each source is drawn, (sources,), float64, summing to one.

    A class is drawn first, all alike. Within it a package or a voice counts by the root of the number of its clips:
    more for one with many, yet none drowns the others.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for row, source in enumerate(sources):
        for tag in source.tags:
            members[tag].append(row)
    odds = torch.zeros(len(sources), dtype=torch.float64)
    present = [name for name in classes if name in members]
    for name in present:
        rows = members[name]
        sizes = Counter((sources[row].corpus, sources[row].group) for row in rows)
        own = torch.tensor([sizes[sources[p].corpus, sources[p].group] ** -0.5 for p in rows], dtype=torch.float64)
        odds[rows] += own / own.sum() / len(present)
    return odds
