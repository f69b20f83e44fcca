"""Vectors of a table on one scale: each value less its mean over the table, in units of its standard deviation.

Embeddings of one encoder share a large mean, and few of their values vary much. Plain cosine similarity is therefore
high between any two recordings, and a handful of values decide. A fusion is standardised over a corpus, but
recordings of one table still share a mean. Standardised by the table, a similarity of zero means "as alike as two
recordings of this table are on average", and every value counts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

FEW = 10  # rows, below which a mean over them says little: vectors are then compared as they are
BLOCK = 1 << 10  # rows at a time: they stay in a processor's cache
CONSTANT = 1e-6  # a deviation up to this, relative to the mean, is rounding


@dataclass(frozen=True)
class Standard:
    """What standardises vectors.

    Attributes:
        mean: (dim,), float32.
        scale: one over the standard deviation, zero for a value that never changes: (dim,), float32.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, batches: Iterable[np.ndarray]) -> "Standard":
        """The standard of vectors (rows, dim) in batches, in one pass."""
        rows, first, total, squares = 0, None, np.zeros(1), np.zeros(1)
        for block in _blocks(batches):
            exact = block.astype(np.float64)
            first = exact.mean(0) if first is None else first  # squares of differences from it lose no digits
            exact -= first
            rows += len(exact)
            total = total + exact.sum(0)
            squares = squares + np.einsum("nd,nd->d", exact, exact)
        if first is None:
            raise ValueError("no vectors to standardise by")
        if rows < FEW:
            return cls(np.zeros(len(first), np.float32), np.ones(len(first), np.float32))
        mean = total / rows
        deviation = np.sqrt(np.maximum(squares / rows - mean**2, 0))
        mean = first + mean
        varies = deviation > CONSTANT * np.maximum(np.abs(mean), 1e-12)
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
        return cls(mean.astype(np.float32), scale.astype(np.float32))

    @property
    def plain(self) -> bool:
        """Whether vectors are left as they are, for want of rows."""
        return not self.mean.any() and bool((self.scale == 1).all())

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Standardised vectors, (rows, dim), float32."""
        return (vectors - self.mean) * self.scale

    def unit(self, vectors: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The same at length one, so that a product is a cosine; a vector equal to the mean stays zero.

        Args:
            out: where they go, which may be ``vectors``.
        """
        units = np.empty(vectors.shape, np.float32) if out is None else out
        for start in range(0, len(vectors), BLOCK):
            standardised = self(vectors[start : start + BLOCK])
            lengths = np.linalg.norm(standardised, axis=1, keepdims=True)
            np.divide(standardised, np.maximum(lengths, 1e-12), out=units[start : start + BLOCK])
        return units


def _blocks(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for batch in batches:
        for start in range(0, len(batch), BLOCK):
            yield batch[start : start + BLOCK]
