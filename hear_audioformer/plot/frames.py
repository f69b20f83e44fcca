"""The timestamp embeddings of a recording, for pictures: standardised over it, and few enough to draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bulk.embedding import FileEmbedder
from ..bulk.plan import Item
from ..bulk.rows import Rows
from ..bulk.sources import Source
from ..errors import AudioError
from ..standard import Standard
from ..weights import load_model

MOST = 800  # frames of a picture; neighbours are averaged beyond


@dataclass(frozen=True)
class Frames:
    """Moments of a recording.

    Attributes:
        units: standardised vectors of length one: (frames, dim).
        step: seconds from one to the next.
        detail: what computed them.
    """

    units: np.ndarray
    step: float
    detail: str


def frames_of(path: str | Path, model: str = "", **options: Any) -> Frames:
    """The moments of a recording by a model, the default one if none is named."""
    from ..index import index

    loaded = load_model(model, **options)
    parts: list[Rows] = []
    for result in FileEmbedder(loaded, timestamps=True)([Item(0, Source(str(path), 0, 0))]):
        if isinstance(result, Rows):
            parts.append(result)
        elif result.error is not None:
            raise AudioError(f"{path}: {result.error}")
    vectors = Rows.joined(parts).embedding.astype(np.float32)
    if len(vectors) < 3:
        raise AudioError(
            f"{path}: gives {len(vectors)} frames; a picture needs three at least: take a longer recording"
        )
    merged = -(-len(vectors) // MOST)
    vectors = np.stack([vectors[start : start + merged].mean(0) for start in range(0, len(vectors), merged)])
    step = merged * loaded.hop_ms / 1000
    name = Path(model).stem if model else str(index().default)
    return Frames(Standard.of([vectors]).unit(vectors), step, f"{name}, {1000 * step:g} ms")
