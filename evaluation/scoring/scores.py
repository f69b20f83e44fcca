"""Scores over weighted clips, for many weightings at once, as a bootstrap needs them.

Every score takes columns (one row a test clip) and weights (draws, clips). It gives one value a draw: the score of a
test set in which clip i occurs ``weights[d, i]`` times, or NaN if it is undefined there.
"""

from collections.abc import Callable, Mapping
from statistics import NormalDist

import numpy as np

Columns = Mapping[str, np.ndarray]
Score = Callable[[Columns, np.ndarray], np.ndarray]


def accuracy(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """The share of clips with the right class."""
    hits = (columns["truth"] == columns["predicted"]).astype(np.float32)
    return _ratio(weights @ hits, weights.sum(1))


def mean_recall(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """The recall of each class, averaged over the classes that occur."""
    truth = columns["truth"]
    classes = truth[:, None] == np.unique(truth)
    hits = classes & (truth == columns["predicted"])[:, None]
    recalls = _ratio(weights @ hits.astype(np.float32), weights @ classes.astype(np.float32))
    return _mean(recalls)


def mean_precision(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """The average precision of each class, averaged over classes with a positive clip (HEAR's mAP).

    Ties count as one threshold, as in scikit-learn. ``truth`` and ``predicted`` are (clips, classes).
    """
    values = []
    for truth, predicted in zip(columns["truth"].T, columns["predicted"].T, strict=True):
        order = np.argsort(-predicted, kind="stable")
        last = np.append(np.diff(predicted[order]) != 0, True)  # of each run of equal predictions
        drawn = weights[:, order]
        true_positives = np.cumsum(drawn * truth[order], axis=1)[:, last]
        seen = np.cumsum(drawn, axis=1)[:, last]
        gained = np.diff(true_positives, axis=1, prepend=0)
        precision = np.divide(true_positives, seen, out=np.zeros_like(true_positives), where=seen > 0)
        values.append(_ratio((gained * precision).sum(1), true_positives[:, -1]))
    return _mean(np.stack(values, axis=1))


def area(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """The area under the ROC curve, averaged over classes with positive and negative clips; ties count half."""
    values = []
    for truth, predicted in zip(columns["truth"].T, columns["predicted"].T, strict=True):
        order = np.argsort(predicted, kind="stable")
        last = np.append(np.diff(predicted[order]) != 0, True)  # of each run of equal predictions
        drawn = weights[:, order].astype(np.float64)
        false_positives = np.cumsum(drawn * (1 - truth[order]), axis=1)[:, last]  # from the lowest prediction on
        true_positives = np.cumsum(drawn * truth[order], axis=1)[:, last]
        below = false_positives - np.diff(false_positives, axis=1, prepend=0) / 2
        pairs = (np.diff(true_positives, axis=1, prepend=0) * below).sum(1)
        values.append(_ratio(pairs, true_positives[:, -1] * false_positives[:, -1]))
    return _mean(np.stack(values, axis=1))


def d_prime(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """d': the distance of two unit normal distributions with the mean area, as reported for AudioSet; at most 6.7."""
    quantile = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
    areas = area(columns, weights)
    clipped = np.nan_to_num(areas, nan=0.5).clip(1e-6, 1 - 1e-6)
    return np.where(np.isnan(areas), np.nan, 2**0.5 * quantile(clipped))


def f_measure(columns: Columns, weights: np.ndarray) -> np.ndarray:
    """The F-measure of events over all classes: 2 hits / (found + real)."""
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
    """The mean over folds of the score within a fold, for every draw."""
    values = []
    for fold in np.unique(folds):
        in_fold = folds == fold
        values.append(SCORES[score]({name: column[in_fold] for name, column in columns.items()}, weights[:, in_fold]))
    return _mean(np.stack(values, axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis, without NaN."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))
