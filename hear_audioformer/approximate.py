"""A FAISS index of a table, built once and kept beside its parts: clusters of rows, of which a search reads a few.

``NAME/_run/index-KEY.faiss`` (of one file: ``NAME.parquet.index-KEY.faiss``) and the standard beside it as ``.npz``.
KEY is of the model and of the files that hold the rows, so an index that no longer fits the table is built again.
"""

import hashlib
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .files import atomic_write
from .standard import Standard
from .table import Table

PROBED = 16  # a search reads one cluster of so many, at least LEAST
LEAST = 16
FITTED = 64  # rows a cluster that clusters are fitted on
FITTED_BYTES = 1 << 28  # of these rows, at most


class Approximate:
    """Searches the rows of a table through FAISS.

    Attributes:
        standard: of the table, as it was when the index was built.
        note: that the index was built now, or could not be kept.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.note = ""
        self.place = place_of(table)
        beside = self.place.with_suffix(".npz")
        if self.place.is_file() and beside.is_file():
            try:
                with np.load(beside) as kept:
                    self.standard = Standard(kept["mean"], kept["scale"])
                self.index = _opened(self.place)
                return
            except (RuntimeError, OSError, ValueError, KeyError, zipfile.BadZipFile):  # damaged: built again
                pass
        self.standard = Standard.of(table.batches())
        self.index = self._built()
        self._keep(beside)

    def nearest(self, units: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows of the most similar rows, best first, (queries, k); row -1 where clusters had too few."""
        import faiss

        lists = self.index.nlist
        probed = min(lists, max(LEAST, lists // PROBED, math.ceil(4 * k * lists / len(self.table))))
        options: Any = faiss.SearchParametersIVF  # its stub knows no arguments
        return self.index.search(units, k, params=options(nprobe=probed))

    def _built(self) -> Any:
        import faiss

        rows, dim = len(self.table), self.table.dim
        lists = 2 ** max(0, round(math.log2(max(1, rows)) / 2))
        index: Any = faiss.index_factory(dim, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1
        chosen = self.table.sample(min(FITTED * lists, max(lists, FITTED_BYTES // (4 * dim))))
        index.train(self.standard.unit(self.table.take(chosen)))
        for batch in self.table.batches():
            index.add(self.standard.unit(batch))
        self.note = f"built an index of {rows:,} rows, kept as {self.place}"
        return index

    def _keep(self, beside: Path) -> None:
        """Writes the index, and removes those of the table as it was."""
        import faiss

        try:
            with atomic_write(beside) as temporary, open(temporary, "wb") as file:
                np.savez(file, mean=self.standard.mean, scale=self.standard.scale, rows=len(self.table),
                         facts=json.dumps(self.table.facts))  # fmt: skip
            with atomic_write(self.place) as temporary:
                faiss.write_index(self.index, str(temporary))
        except OSError as error:
            self.note = f"built an index of {len(self.table):,} rows, which cannot be kept ({error})"
            return
        pattern = self.place.name.replace(_key(self.table), "*").replace("[", "[[]")
        for old in [*self.place.parent.glob(pattern), *self.place.parent.glob(pattern.replace(".faiss", ".npz"))]:
            if old.stem != self.place.stem:
                old.unlink(missing_ok=True)
        self.index = _opened(self.place)


def place_of(table: Table) -> Path:
    """Where the index of a table is kept."""
    name = f"index-{_key(table)}.faiss"
    if table.path.suffix == ".zarr" or table.path.is_file():
        return table.path.with_name(f"{table.path.name}.{name}")
    return table.path / "_run" / name


def _key(table: Table) -> str:
    facts = {name: value for name, value in table.facts.items() if name not in {"source", "version"}}
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in table.files]
    return hashlib.sha256(json.dumps([facts, files, len(table)], sort_keys=True).encode()).hexdigest()[:16]


def _opened(place: Path) -> Any:
    """An index whose vectors stay on the disk until they are read."""
    import faiss

    return faiss.read_index(str(place), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
