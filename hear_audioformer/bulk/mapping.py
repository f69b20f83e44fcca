"""The worker as a function of tables with a column of paths, for engines that map those: datasets, Spark, Ray Data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .job import Job
from .plan import Item
from .rows import Rows
from .sources import Source, shown

if TYPE_CHECKING:
    from pandas import DataFrame

    from .worker import Worker

COLUMNS = ("path", "offset", "seconds", "sample_rate", "embedding", "error")


class EmbedPaths:
    """Embeds the files of a batch, which is a mapping with a column of paths.

    It can be pickled. The model is loaded by the first batch, once in each process.

        dataset.map(EmbedPaths("msm-mae-tiny"), batched=True, batch_size=32, remove_columns=dataset.column_names)
        frame.mapInPandas(EmbedPaths("msm-mae-tiny").in_pandas, EmbedPaths.SPARK)

    The result has a row for each file, of segments and timestamps one for each of those: path, offset, seconds,
    sample_rate, embedding, error. A bad file has one row, with an error and without an embedding;
    a good one has the error "".

    Args:
        model: what ``load_model`` takes; the default model if empty.
        column: of the paths.
        job: other fields of ``Job``: options, timestamps, segment, dtype, device.
    """

    SPARK = "path string, offset double, seconds double, sample_rate int, embedding array<float>, error string"

    def __init__(self, model: str = "", *, column: str = "path", **job: Any) -> None:
        self.job = Job(str(model), **job)
        self.column = column
        self._worker: Worker | None = None

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
        """A batch of columns -> a batch of columns."""
        if self._worker is None:
            from .worker import Worker

            self._worker = Worker(self.job)
        items = [Item(number, Source(str(path), 0, 0)) for number, path in enumerate(batch[self.column])]
        table: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        rows: list[Rows] = []
        for result in self._worker.embed(items):
            if isinstance(result, Rows):
                rows.append(result)
                continue
            if result.error is None:
                for some in rows:
                    _append(table, some)
            else:
                for name, value in zip(COLUMNS, (result.path, None, None, None, None, result.error), strict=True):
                    table[name].append(value)
            rows = []
        return table

    def in_pandas(self, frames: "Iterable[DataFrame]") -> "Iterator[DataFrame]":
        """The same for frames of pandas, as Spark's ``mapInPandas`` hands them over."""
        import pandas

        for frame in frames:
            yield pandas.DataFrame(self({self.column: frame[self.column].tolist()}))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_worker": None}


def _append(table: dict[str, list[Any]], rows: Rows) -> None:
    table["path"] += map(shown, rows.path)
    for name in ("offset", "seconds", "sample_rate"):
        table[name] += np.asarray(getattr(rows, name)).tolist()
    table["embedding"] += list(rows.embedding)
    table["error"] += [""] * len(rows)
