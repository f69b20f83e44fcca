"""Clusters of a table: k-means by the similarity that ``search`` uses. It needs no torch.

Centres are fitted on a sample; then all rows are assigned in batches, so memory does not grow with the table.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .files import atomic_write
from .kmeans import assign, choose, fit
from .standard import Standard
from .table import Place, Table, opened

SAMPLE = 10_000  # rows that centres are fitted on
SAMPLE_BYTES = 1 << 27
CENTRAL = 3  # rows that are shown of a cluster


@dataclass(frozen=True)
class Cluster:
    """A group of rows that sound alike; clusters are numbered from the largest on.

    Attributes:
        number: from 0 on.
        size: its rows.
        central: the places of the rows nearest to its centre.
    """

    number: int
    size: int
    central: list[Place]


@dataclass(frozen=True)
class Clusters:
    """The clusters of a table.

    Attributes:
        clusters: from the largest on.
        owners: the number of each row's cluster: (rows,).
        similarity: cosine similarity of each row to its centre: (rows,).
        silhouettes: number of clusters -> mean silhouette on a sample, of the numbers that were tried.
    """

    table: Table
    clusters: list[Cluster]
    owners: np.ndarray
    similarity: np.ndarray
    silhouettes: dict[int, float]

    def write(self, out: str | Path) -> None:
        """Writes path, offset, seconds, cluster and similarity of all rows as CSV."""
        with atomic_write(out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "offset", "seconds", "cluster", "similarity"])
            columns = self.table.paths, self.table.offsets.tolist(), self.table.seconds.tolist(), self.owners.tolist()
            for *row, similarity in zip(*columns, self.similarity.tolist(), strict=True):
                writer.writerow([*row, f"{similarity:.4f}"])


def cluster_table(table: "str | os.PathLike[str] | Table", count: int | None = None, *, seed: int = 0) -> Clusters:
    """The clusters of a table, as many as asked for, or else as the silhouette says (2 to 20)."""
    table = opened(table)
    if count is not None and not 1 <= count <= len(table):
        raise ValueError(f"{count} clusters of {len(table)} rows: ask for 1 to {len(table)}")
    standard = Standard.of(table.batches())
    most = max(count or 0, min(SAMPLE, SAMPLE_BYTES // (4 * table.dim)))
    some = standard.unit(table.take(table.sample(most, seed)))
    silhouettes: dict[int, float] = {}
    if count is None:
        count, silhouettes = choose(some, seed=seed)
    owners, similarity = _assigned(table, standard, fit(some, count, seed=seed))
    sizes = np.bincount(owners, minlength=count)
    order = np.argsort(-sizes, kind="stable")
    owners = np.argsort(order)[owners]
    found = []
    for number, size in enumerate(sizes[order].tolist()):
        rows = np.flatnonzero(owners == number)
        central = rows[np.argsort(-similarity[rows], kind="stable")[:CENTRAL]]
        found.append(Cluster(number, size, table.places(central)))
    return Clusters(table, found, owners, similarity, silhouettes)


def _assigned(table: Table, standard: Standard, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = [assign(standard.unit(batch), centres) for batch in table.batches()]
    return np.concatenate([nearest for nearest, _ in parts]), np.concatenate([similar for _, similar in parts])
