"""Few-shot classification of a table from labelled recordings.

>>> classifier = Classifier.of("vectors/", find_examples("examples/"))
>>> print(classifier.report)                                   # the cross-validated accuracy
>>> classifier.write("labels.csv")
"""

import csv
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from .errors import InputError
from .examples import Example, refuse_few
from .files import atomic_write
from .head import Head, chosen, cross_validated
from .same_model import Embedded, SameModel
from .standard import Standard
from .table import Table, opened

FRAMES = 32  # of one example, at most
FEW = 10  # examples of a label, below which its accuracy says little


@dataclass(frozen=True)
class Report:
    """What cross-validation says of a classifier.

    Attributes:
        accuracy: share of the examples that get their label from heads that did not see them.
        low, high: ends of its 95 % interval (Wilson), over recordings.
        guessing: accuracy of always saying the most frequent label.
        folds: number of folds; a recording is in one of them alone.
        recalls: label -> its number of recordings, and the share of them that is found.
        warnings: what to know before trusting it.
    """

    accuracy: float
    low: float
    high: float
    guessing: float
    folds: int
    recalls: dict[str, tuple[int, float]]
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        count = sum(count for count, _ in self.recalls.values())
        width = max(map(len, self.recalls))
        lines = [
            f"cross-validated accuracy {self.accuracy:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}), "
            f"{self.folds} folds, {count} recordings of {len(self.recalls)} labels; guessing {self.guessing:.3f}",
            *(
                f"  {label:{width}}  {number:4} recordings, {recall:.2f} found"
                for label, (number, recall) in self.recalls.items()
            ),
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


class Classifier:
    """A linear head on the standardised vectors of a table.

    Attributes:
        labels: in order of name.
        report: what cross-validation says of it.
        errors: examples that could not be read, with reasons.
    """

    def __init__(self, table: Table, labels: list[str], standard: Standard, head: Head, report: Report) -> None:
        self.table, self.labels, self.standard, self.head, self.report = table, labels, standard, head, report
        self.errors: list[tuple[str, str]] = []

    @classmethod
    def of(
        cls,
        table: "str | os.PathLike[str] | Table",
        examples: Sequence[Example],
        *,
        model: str | Path = "",
        device: str | None = None,
    ) -> "Classifier":
        """A classifier of a table from examples, which the table's own model embeds.

        Args:
            model: where the table's weights are now, if not where it says; they must be the same weights.
        """
        table = opened(table)
        found = list(SameModel(table.facts, model=model, device=device)([example.path for example in examples]))
        read = [(example, one) for example, one in zip(examples, found, strict=True) if one.error is None]
        refuse_few([example for example, _ in read], "what could be read of the examples")
        some = [_spread(one) for _, one in read]
        recordings = np.repeat(np.arange(len(some)), [len(one) for one in some])
        names = [("group", example.group) if example.group else ("path", example.path) for example, _ in read]
        groups = np.unique([f"{kind} {name}" for kind, name in names], return_inverse=True)[1]
        labels = sorted({example.label for example, _ in read})
        own = np.array([labels.index(example.label) for example, _ in read])[recordings]
        vectors = np.concatenate(some)
        standard = Standard.of(chain(table.batches(), [vectors]))
        features = scaled(standard, vectors)
        predicted, folds = cross_validated(features, own, groups[recordings], len(labels))
        report = reported(labels, own, recordings, predicted.argmax(1) == own, folds)
        head = chosen(features, own, groups[recordings], len(labels))
        classifier = cls(table, labels, standard, head, report)
        classifier.errors = [(one.path, str(one.error)) for one in found if one.error is not None]
        return classifier

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """Probabilities of the labels for vectors of the table's model: (rows, labels)."""
        return self.head(scaled(self.standard, vectors))

    def rows(self) -> Iterator[tuple[int, np.ndarray]]:
        """The number of each batch's first row, and the probabilities of its rows."""
        first = 0
        for batch in self.table.batches():
            yield first, self.probabilities(batch)
            first += len(batch)

    def write(self, out: str | Path, *, every: bool = False) -> Counter[str]:
        """Writes path, offset, seconds, label and probability of all rows as CSV. Returns how many have each label.

        Args:
            every: adds a column with the probability of each label.
        """
        counts: Counter[str] = Counter()
        with atomic_write(out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "offset", "seconds", "label", "probability", *self.labels * every])
            for first, probabilities in self.rows():
                places = self.table.places(np.arange(first, first + len(probabilities)))
                for place, row in zip(places, probabilities, strict=True):
                    label = self.labels[int(row.argmax())]
                    counts[label] += 1
                    values = [f"{value:.4f}" for value in row.tolist()] * every
                    writer.writerow([place.path, place.offset, place.seconds, label, f"{row.max():.4f}", *values])
        return counts


def scaled(standard: Standard, vectors: np.ndarray) -> np.ndarray:
    """Standardised vectors of a length around one, whatever their width."""
    return standard(vectors) / np.float32(math.sqrt(vectors.shape[1]))


def reported(labels: list[str], own: np.ndarray, groups: np.ndarray, right: np.ndarray, folds: int) -> Report:
    """The report from whether each row got its label. A recording counts once, however many rows it has."""
    _, first, places = np.unique(groups, return_index=True, return_inverse=True)
    shares = np.bincount(places, right) / np.bincount(places)
    label_of = own[first]
    counts = np.bincount(label_of, minlength=len(labels))
    recalls = {label: (int(counts[i]), float(shares[label_of == i].mean())) for i, label in enumerate(labels)}
    accuracy = float(shares.mean())
    low, high = wilson(accuracy, len(shares))
    warnings = []
    if few := [label for label in labels if recalls[label][0] < FEW]:
        warnings.append(f"{', '.join(few)}: fewer than {FEW} recordings; more of them would help most")
    guessing = float(counts.max() / counts.sum())
    if low <= guessing:
        warnings.append("not clearly better than guessing: add examples, or choose a model that hears the difference")
    return Report(accuracy, low, high, guessing, folds, recalls, warnings)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share among so many."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _spread(one: Embedded) -> np.ndarray:
    """At most ``FRAMES`` of an example's vectors, spread over it."""
    if not len(one.vectors):
        raise InputError(f"{one.path}: {one.error}")
    count = min(FRAMES, len(one.vectors))
    return one.vectors[np.linspace(0, len(one.vectors) - 1, count).round().astype(int)]
