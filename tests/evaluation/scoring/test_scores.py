"""Scores of weighted clips: what they would be if each clip were there as often as its weight says."""

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.scoring import scores
from evaluation.scoring.scores import SCORES, Columns, folded


def classes(clips: int, kinds: int, seed: int) -> dict[str, np.ndarray]:
    turn = np.random.RandomState(seed)
    truth = turn.randint(kinds, size=clips)
    return {"truth": truth, "predicted": np.where(turn.random_sample(clips) < 0.6, truth, turn.randint(kinds))}


def ranking(clips: int, kinds: int, seed: int) -> dict[str, np.ndarray]:
    """Many-hot truth, and predictions of which many are equal."""
    turn = np.random.RandomState(seed)
    truth = (turn.random_sample((clips, kinds)) < 0.3).astype(float)
    return {"truth": truth, "predicted": np.round(truth * 0.4 + turn.random_sample((clips, kinds)), 1)}


def counts(clips: int, seed: int) -> dict[str, np.ndarray]:
    turn = np.random.RandomState(seed)
    found, reference = turn.randint(6, size=(2, clips))
    return {"found": found, "real": reference, "hits": np.minimum(found, reference) // 2}


def accuracy(columns: Columns) -> float:
    return float((columns["truth"] == columns["predicted"]).mean())


def mean_recall(columns: Columns) -> float:
    truth = columns["truth"]
    return float(np.mean([(columns["predicted"][truth == kind] == kind).mean() for kind in np.unique(truth)]))


def mean_precision(columns: Columns) -> float:
    """By its definition: precision at each threshold, weighted by what it adds to recall."""
    values = []
    for truth, predicted in zip(columns["truth"].T, columns["predicted"].T, strict=True):
        if truth.any():
            before, value = 0.0, 0.0
            for threshold in sorted(set(predicted), reverse=True):
                chosen = predicted >= threshold
                recall = truth[chosen].sum() / truth.sum()
                value += (recall - before) * truth[chosen].mean()
                before = recall
            values.append(value)
    return float(np.mean(values))


def area(columns: Columns) -> float:
    """By its definition: the share of pairs of a true and another clip that are in order; equal ones count half."""
    values = []
    for truth, predicted in zip(columns["truth"].T, columns["predicted"].T, strict=True):
        above, below = predicted[truth == 1][:, None], predicted[truth == 0]
        if above.size and below.size:
            values.append(((above > below) + 0.5 * (above == below)).mean())
    return float(np.mean(values))


def f_measure(columns: Columns) -> float:
    hits, found, reference = (columns[name].sum() for name in ("hits", "found", "real"))
    precision, recall = hits / found, hits / reference
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize(
    ("score", "columns", "plain"),
    [
        ("accuracy", classes(80, 4, 1), accuracy),
        ("mean_recall", classes(80, 4, 2), mean_recall),
        ("mean_precision", ranking(40, 3, 3), mean_precision),
        ("area", ranking(40, 3, 6), area),
        ("onset_50ms", counts(40, 4), f_measure),
    ],
)
def test_a_weight_is_so_many_copies(score: str, columns: Columns, plain: Callable[[Columns], float]) -> None:
    clips = len(next(iter(columns.values())))
    weights = np.random.RandomState(0).multinomial(clips, np.full(clips, 1 / clips), size=20).astype(np.float32)
    weights[0] = 1
    expected = [
        plain({name: np.repeat(column, row, axis=0) for name, column in columns.items()}) for row in weights.astype(int)
    ]
    assert SCORES[score](columns, weights) == pytest.approx(expected, rel=1e-5)


def test_a_class_that_no_draw_has_is_left_out() -> None:
    columns = {"truth": np.array([0, 0, 1]), "predicted": np.array([0, 1, 1])}
    assert scores.mean_recall(columns, np.array([[1, 1, 0], [1, 1, 1]], np.float32)).tolist() == [0.5, 0.75]


def test_what_is_not_defined_is_nan() -> None:
    nothing = np.zeros((1, 3), np.float32)
    assert np.isnan(scores.accuracy(classes(3, 2, 0), nothing)).all()
    assert np.isnan(scores.f_measure(counts(3, 0), nothing)).all()


def test_d_prime_is_the_distance_that_an_area_amounts_to() -> None:
    """Two normal distributions 1.5 apart: an area of 0.856. A perfect ranking stays finite; nothing to rank is NaN."""
    turn = np.random.RandomState(0)
    truth = np.arange(20000) % 2
    columns = {"truth": truth[:, None].astype(float), "predicted": (turn.randn(20000) + 1.5 * truth)[:, None]}
    ones = np.ones((1, 20000), np.float32)
    assert scores.area(columns, ones) == pytest.approx(0.856, abs=0.01)
    assert scores.d_prime(columns, ones) == pytest.approx(1.5, abs=0.05)
    perfect = {"truth": columns["truth"], "predicted": columns["truth"]}
    assert 6.5 < scores.d_prime(perfect, ones)[0] < 7
    assert np.isnan(scores.d_prime({"truth": columns["truth"] * 0, "predicted": columns["truth"]}, ones)).all()


def test_folds_count_the_same_however_large() -> None:
    columns = {"truth": np.zeros(10, int), "predicted": np.array([0, 0] + [0] * 2 + [1] * 6)}
    folds = np.array([0, 0] + [1] * 8)
    assert folded("accuracy", columns, folds, np.ones((1, 10), np.float32)).tolist() == [pytest.approx(0.625)]


def test_pitch_is_a_class_a_semitone() -> None:
    columns = classes(50, 12, 5)
    ones = np.ones((1, 50), np.float32)
    assert SCORES["pitch"](columns, ones) == SCORES["accuracy"](columns, ones)
