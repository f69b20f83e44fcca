"""k-means on vectors of length one, by cosine similarity, and the number of clusters by silhouette."""

from collections.abc import Sequence

import numpy as np

STARTS = 5  # from different first centres; the best is kept
STEPS = 50
CHOICES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20)  # numbers of clusters that are tried
SILHOUETTE_ROWS = 1500


def fit(units: np.ndarray, count: int, *, starts: int = STARTS, seed: int = 0) -> np.ndarray:
    """Centres of length one, (count, dim), of vectors of length one, (rows, dim); the best of some starts."""
    if not 1 <= count <= len(units):
        raise ValueError(f"{count} clusters of {len(units)} rows: ask for 1 to {len(units)}")
    generator = np.random.default_rng(seed)
    found = [_settled(units, _first(units, count, generator)) for _ in range(starts)]
    return max(found, key=lambda centres: float((units @ centres.T).max(1).sum()))


def assign(units: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each row, and its cosine similarity to it: (rows,) each."""
    similar = units @ centres.T
    nearest = similar.argmax(1)
    return nearest, similar[np.arange(len(units)), nearest]


def choose(units: np.ndarray, *, seed: int = 0) -> tuple[int, dict[int, float]]:
    """The number of clusters with the largest mean silhouette, and the silhouette of each number tried."""
    generator = np.random.default_rng(seed)
    some = units[generator.permutation(len(units))[:SILHOUETTE_ROWS]]
    distances = np.maximum(1 - some @ some.T, 0)
    scores = {}
    for count in CHOICES:
        if count < len(some):
            nearest, _ = assign(some, fit(units, count, starts=2, seed=seed))
            scores[count] = silhouette(distances, nearest)
    if not scores:
        return 1, {}
    return max(scores, key=scores.__getitem__), scores


def silhouette(distances: np.ndarray, owners: np.ndarray) -> float:
    """Mean over rows of (b - a) / max(a, b): a the mean distance to the own cluster, b to the nearest other one.

    A row that is alone in its cluster counts zero (Rousseeuw, 1987).
    """
    names, own = np.unique(owners, return_inverse=True)
    if len(names) < 2:
        return -1.0
    members = np.eye(len(names))[own]
    sizes = members.sum(0)
    sums = distances @ members
    rows = np.arange(len(own))
    inside = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[rows, own] = np.inf
    outside = means.min(1)
    values = (outside - inside) / np.maximum(np.maximum(inside, outside), 1e-12)
    return float(np.where(sizes[own] > 1, values, 0).mean())


def _first(units: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """First centres by k-means++: each is drawn by its squared distance from those before."""
    chosen = [int(generator.integers(len(units)))]
    least = np.full(len(units), np.inf)
    while len(chosen) < count:
        least = np.minimum(least, np.maximum(2 - 2 * units @ units[chosen[-1]], 0))
        total = float(least.sum())
        weights = least / total if total > 0 else None
        chosen.append(int(generator.choice(len(units), p=weights)))
    return units[chosen]


def _settled(units: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Lloyd's steps until no row changes its centre. An empty cluster takes the row that is farthest from its own."""
    before: Sequence[int] | np.ndarray = ()
    for _ in range(STEPS):
        nearest, similar = assign(units, centres)
        if np.array_equal(nearest, before):
            break
        before = nearest
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, units)
        far = iter(np.argsort(similar))
        for empty in np.flatnonzero(np.bincount(nearest, minlength=len(centres)) == 0):
            sums[empty] = units[next(far)]
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres
