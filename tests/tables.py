"""Tables of vectors that no model made, written as ``embed`` writes them."""

from pathlib import Path
from typing import Any

import numpy as np

from hear_audioformer.bulk.parts import Kind, Part
from hear_audioformer.bulk.rows import Rows

FACTS: dict[str, Any] = {
    "model": "small",
    "source": "small.safetensors",
    "sha256": "0" * 64,
    "version": "0.1.0",
    "kind": "scenes",
    "dtype": "float32",
    "sample_rate": 16000,
    "layers": [3],
    "precision": "fp32",
    "pool": "mean",
    "segment": None,
}


def write_part(folder: Path, vectors: np.ndarray, first: int = 0, **changes: Any) -> Path:
    """A part whose row i is of the recording ``sounds/FIRST+i.flac``."""
    (folder / "_run").mkdir(parents=True, exist_ok=True)
    facts = {**FACTS, "dim": vectors.shape[1], **changes}
    kind = Kind("parquet", vectors.shape[1], facts["dtype"], facts)
    part = Part(folder, folder / "_run", (first, first + len(vectors) - 1), kind)
    paths = [f"sounds/{first + number:04}.flac" for number in range(len(vectors))]
    ones = np.ones(len(vectors))
    part.write(Rows(paths, 0 * ones, ones, np.full(len(vectors), 16000, np.int32), vectors.astype(facts["dtype"])))
    part.commit()
    return folder


def blobs(rows: int, centres: int, dim: int = 8, seed: int = 0, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around some centres far from zero, (rows, dim), and the centre of each."""
    generator = np.random.default_rng(seed)
    middles = 5 + generator.standard_normal((centres, dim))
    owners = np.arange(rows) % centres
    return (middles[owners] + spread * generator.standard_normal((rows, dim))).astype(np.float32), owners
