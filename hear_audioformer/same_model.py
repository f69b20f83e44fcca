"""The very model that made a table: new recordings -> vectors that may be compared with the table's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoint, weights
from .bulk.embedding import FileEmbedder
from .bulk.plan import Item
from .bulk.rows import Rows
from .bulk.sources import Source
from .devices import device_of
from .errors import StoreError, WeightsError

NO_OPTIONS = {"model", "source", "sha256", "version", "kind", "dim", "dtype", "sample_rate", "segment"}  # facts


@dataclass(frozen=True)
class Embedded:
    """A recording's vectors.

    Attributes:
        path: of the recording.
        vectors: (rows, dim), float32; no rows if it cannot be read.
        offsets, seconds: of each row's stretch of sound: (rows,).
        error: why there are no rows.
    """

    path: str
    vectors: np.ndarray
    offsets: np.ndarray
    seconds: np.ndarray
    error: str | None = None


class SameModel:
    """Embeds recordings by the model, weights and options that a table's facts name.

    Args:
        facts: of the table.
        model: where its weights are now, if not where the facts say. They must be the same weights.
        device: of torch; CUDA where there is one.
    """

    def __init__(self, facts: dict[str, Any], *, model: str | Path = "", device: str | None = None) -> None:
        self.facts = facts
        path = self._weights(str(model) or str(facts["source"]))
        options = {name: value for name, value in facts.items() if name not in NO_OPTIONS and value is not None}
        self.model = weights.open_model(path, **options).to(device_of(device))

    def _weights(self, source: str) -> Path:
        """The weight file, once it is clear that it is the same."""
        try:
            path = weights.resolve(source)
        except WeightsError as error:
            raise WeightsError(
                f"the table was made by {self.facts['model']}, which is not at {source} now ({error}): "
                "name the place of the same weights with --model (model=)"
            ) from error
        found = checkpoint.read_header(path).sha256
        if found != self.facts["sha256"]:
            raise StoreError(
                f"the table was made by weights {self.facts['sha256'][:12]}, {source} holds {found[:12]}, whose "
                "vectors must not be compared with it: name the same weights with --model (model=), or embed the "
                "recordings again"
            )
        return path

    def __call__(self, paths: Sequence[str | Path], *, whole: bool = False) -> Iterator[Embedded]:
        """The recordings in order.

        Args:
            whole: one row a recording, whatever a row of the table is of: its scene, or the mean of its frames.
        """
        frames = self.facts["kind"] == "timestamps"
        segment = None if whole else self.facts.get("segment")
        embedder = FileEmbedder(self.model, timestamps=frames, segment=segment)
        items = [Item(number, Source(str(path), 0, 0)) for number, path in enumerate(paths)]
        rows: list[Rows] = []
        for result in embedder(items):
            if isinstance(result, Rows):
                rows.append(result)
                continue
            yield self._embedded(result.path, rows if result.error is None else [], result.error, whole and frames)
            rows = []

    def _embedded(self, path: str, rows: list[Rows], error: str | None, mean: bool) -> Embedded:
        none = np.zeros(0)
        if not rows:
            return Embedded(path, np.zeros((0, self.facts["dim"]), np.float32), none, none, error or "gives no frames")
        all_rows = Rows.joined(rows)
        vectors, offsets, seconds = all_rows.embedding.astype(np.float32), all_rows.offset, all_rows.seconds
        if mean:
            vectors, offsets, seconds = vectors.mean(0, keepdims=True), np.zeros(1), seconds.sum(keepdims=True)
        return Embedded(path, vectors, offsets, seconds)
