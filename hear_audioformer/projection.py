"""Vectors in few dimensions: UMAP where it is installed, else principal components. It needs no torch."""

import os
import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from .errors import StoreError
from .standard import Standard
from .table import Table, opened

METHODS = ("umap", "pca")
MOST = 20_000  # rows of a map
COMPONENTS = 50  # that UMAP starts from
NEIGHBOURS = 15


@dataclass(frozen=True)
class Projection:
    """A table in two dimensions.

    Attributes:
        points: (rows, 2).
        rows: their numbers in the table; a sample of a large one.
        method: umap or pca.
    """

    points: np.ndarray
    rows: np.ndarray
    method: str


def project(
    table: "str | os.PathLike[str] | Table", method: str | None = None, *, most: int = MOST, seed: int = 0
) -> Projection:
    """The rows of a table, or a sample of ``most``, in two dimensions."""
    table = opened(table)
    if method is None:
        method = "umap" if find_spec("umap") is not None and len(table) > NEIGHBOURS else "pca"
    if method not in METHODS:
        raise ValueError(f"method={method!r} is not one of {', '.join(METHODS)}")
    if method == "umap" and find_spec("umap") is None:
        raise StoreError("UMAP is not installed: pip install 'hear_audioformer[map]', or take pca")
    if len(table) < 3:
        raise ValueError(f"{table.path} has {len(table)} rows: a map needs three at least")
    rows = table.sample(most, seed)
    units = Standard.of(table.batches()).unit(table.take(rows))
    points = principal(units, 2) if method == "pca" else _umap(principal(units, COMPONENTS), seed)
    return Projection(points, rows, method)


def principal(vectors: np.ndarray, count: int) -> np.ndarray:
    """The first principal components, (rows, at most ``count``); each one's largest value is positive.

    Missing ones are zero for up to three.
    """
    centred = (vectors - vectors.mean(0)).astype(np.float64)
    if len(centred) > centred.shape[1]:
        values, axes = np.linalg.eigh(centred.T @ centred)
        points = centred @ axes[:, ::-1][:, :count]
    else:
        values, axes = np.linalg.eigh(centred @ centred.T)
        points = (axes * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :count]
    if points.shape[1] < min(count, 3):
        points = np.pad(points, ((0, 0), (0, min(count, 3) - points.shape[1])))
    signs = np.sign(points[np.abs(points).argmax(0), np.arange(points.shape[1])])
    return (points * np.where(signs == 0, 1, signs)).astype(np.float32)


def _umap(vectors: np.ndarray, seed: int) -> np.ndarray:
    import umap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        fitted = umap.UMAP(n_neighbors=min(NEIGHBOURS, len(vectors) - 1), metric="cosine", random_state=seed)
        return np.asarray(fitted.fit_transform(vectors), np.float32)
