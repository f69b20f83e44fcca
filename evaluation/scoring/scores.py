"""Scores over weighted clips, many weightings at once: what a bootstrap needs is what a plain score is.

Every score takes columns (one row a test clip) and weights (draws, clips), and gives one value a draw: the score of a
test set in which clip i occurs ``weights[d, i]`` times. A draw that leaves a score undefined gives NaN.
"""

from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np

Columns = Mapping[str, np.ndarray]
Score = Callable[[Columns, np.ndarray], np.ndarray]


def accuracy(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """Share of clips whose predicted class is true."""
    hits = (columns["truth"] == columns["predicted"]).astype(np.float32)
    return _ratio(weights @ hits, weights.sum(1))


def mean_recall(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """Share of hits in each class, averaged over the classes that occur: a common class counts no more than a rare."""
    truth = columns["truth"]
    classes = truth[:, None] == np.unique(truth)
    hits = classes & (truth == columns["predicted"])[:, None]
    recalls = _ratio(weights @ hits.astype(np.float32), weights @ classes.astype(np.float32))
    return _mean(recalls)


def mean_precision(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """Average precision of each class's ranking of the clips, averaged over classes with a true clip (HEAR's mAP).

    Ties count as one threshold, as in scikit-learn. ``truth`` and ``predicted`` are (clips, classes).
    """
    values = []
    for truth, predicted in zip(columns["truth"].T, columns["predicted"].T, strict=True):
        order = np.argsort(-predicted, kind="stable")
        last = np.append(np.diff(predicted[order]) != 0, True)  # of each run of equal predictions
        drawn = weights[:, order]
        found = np.cumsum(drawn * truth[order], axis=1)[:, last]
        seen = np.cumsum(drawn, axis=1)[:, last]
        gained = np.diff(found, axis=1, prepend=0)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        values.append(_ratio((gained * precision).sum(1), found[:, -1]))
    return _mean(np.stack(values, axis=1))


def area(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """Area under each class's ROC curve, averaged over classes with true and with other clips; ties count half."""
    values = []
    for truth, predicted in zip(columns["truth"].T, columns["predicted"].T, strict=True):
        order = np.argsort(predicted, kind="stable")
        last = np.append(np.diff(predicted[order]) != 0, True)  # of each run of equal predictions
        drawn = weights[:, order].astype(np.float64)
        passed = np.cumsum(drawn * (1 - truth[order]), axis=1)[:, last]  # other clips so far, lowest prediction first
        found = np.cumsum(drawn * truth[order], axis=1)[:, last]
        below = passed - np.diff(passed, axis=1, prepend=0) / 2
        pairs = (np.diff(found, axis=1, prepend=0) * below).sum(1)
        values.append(_ratio(pairs, found[:, -1] * passed[:, -1]))
    return _mean(np.stack(values, axis=1))


def d_prime(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """What distance between two normal distributions the mean area amounts to, as told of AudioSet; at most 6.7."""
    quantile = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
    areas = area(columns, weights)
    known = np.nan_to_num(areas, nan=0.5).clip(1e-6, 1 - 1e-6)
    return np.where(np.isnan(areas), np.nan, 2**0.5 * quantile(known))


def f_measure(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """Events over all classes: 2 hits / (found + real)."""
    hits, total = columns["hits"], columns["found"] + columns["real"]
    return _ratio(2 * weights @ hits.astype(np.float32), weights @ total.astype(np.float32))


SCORES: dict[str, Score] = {
    "accuracy": accuracy,
    "pitch": accuracy,  # a class a semitone
    "mean_recall": mean_recall,
    "mean_precision": mean_precision,
    "area": area,
    "d_prime": d_prime,
    "onset_200ms": f_measure,
    "onset_50ms": f_measure,
}


def folded(score: str, columns: Columns, folds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over folds of the score within each, for every draw."""
    values = []
    for fold in np.unique(folds):
        mine = folds == fold
        values.append(SCORES[score]({name: column[mine] for name, column in columns.items()}, weights[:, mine]))
    return _mean(np.stack(values, axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis, without what is undefined."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(-1), known.sum(-1))
