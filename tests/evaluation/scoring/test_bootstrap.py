"""Intervals over groups: that they hold the truth as often as they say, and what is drawn."""

import math

import numpy as np
import pytest

from evaluation.scoring.bootstrap import DRAWS, Interval, draw, student
from evaluation.scoring.scores import folded

TRUTH, SPREAD, CLIPS, TRIALS = 0.6, 0.15, 20, 250


def test_intervals_of_four_groups_hold_the_truth_where_percentiles_do_not() -> None:
    """Groups differ in how hard they are; the figures in the module's docstring come from here."""
    turn, held, percentiles = np.random.default_rng(0), 0, 0
    groups = np.repeat(np.arange(4), CLIPS)
    folds = np.zeros_like(groups)
    for trial in range(TRIALS):
        rates = turn.normal(TRUTH, SPREAD, 4).clip(0, 1)[groups]
        hits = (turn.random(len(groups)) < rates).astype(int)
        columns = {"truth": np.ones_like(hits), "predicted": hits}
        draws = draw(f"trial {trial}", folds, groups, 300)
        scores = folded("accuracy", columns, folds, draws.weights)
        interval = Interval.drawn(hits.mean(), scores, draws)
        held += interval.low <= TRUTH <= interval.high
        low, high = np.percentile(scores, [2.5, 97.5])
        percentiles += low <= TRUTH <= high
    assert 0.89 <= held / TRIALS <= 0.98
    assert percentiles / TRIALS < 0.85


def test_groups_are_drawn_whole_within_their_fold() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2, 3, 4])
    folds = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    draws = draw("task", folds, groups)
    assert draws.weights.shape == (DRAWS, 8)
    for clips in ([0, 1], [3, 4, 5]):
        assert (draws.weights[:, clips] == draws.weights[:, clips[:1]]).all()
    assert set((draws.weights[:, 0] + draws.weights[:, 2] + draws.weights[:, 3]).tolist()) == {3}
    assert set((draws.weights[:, 6] + draws.weights[:, 7]).tolist()) == {2}
    assert (draws.degrees, draws.unit) == (3, "groups")
    assert draws.correction == pytest.approx(math.sqrt(5 / 3))


def test_an_error_is_corrected_for_the_number_of_groups() -> None:
    draws = draw("task", np.zeros(4, int), np.arange(4))
    interval = Interval.drawn(0.5, np.array([0.4, 0.6]), draws)
    assert interval.error == pytest.approx(0.1 * math.sqrt(4 / 3))
    assert interval.high == pytest.approx(0.5 + 3.182 * interval.error, rel=2e-3)


def test_a_group_in_two_folds_is_drawn_in_each() -> None:
    groups, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    weights = draw("task", folds, groups).weights
    assert (weights[:, 0] != weights[:, 2]).any()


def test_draws_depend_on_the_task_alone() -> None:
    groups, folds = np.arange(20), np.zeros(20, int)
    assert np.array_equal(draw("one", folds, groups).weights, draw("one", folds, groups).weights)
    assert not np.array_equal(draw("one", folds, groups).weights, draw("two", folds, groups).weights)


def test_clips_are_drawn_where_a_fold_has_one_group() -> None:
    draws = draw("task", np.array([0, 0, 0, 1, 1]), np.array([7, 7, 7, 8, 8]))
    assert (draws.unit, draws.degrees) == ("clips", 3)
    assert (draws.weights[:, 0] != draws.weights[:, 1]).any()
    with pytest.raises(ValueError, match="one test clip a fold"):
        draw("task", np.array([0, 1]), np.array([0, 1]))


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (8, 2.306), (30, 2.042), (1000, 1.962)],
)
def test_quantiles_are_those_of_the_tables(degrees: int, quantile: float) -> None:
    assert student(degrees) == pytest.approx(quantile, rel=1.2e-3)


def test_the_mean_of_tasks_is_surer_than_a_task() -> None:
    part = Interval.of(0.5, 0.1, 4)
    mean = Interval.mean([part, Interval.of(0.7, 0.1, 4)])
    assert (mean.value, mean.error, mean.degrees) == (pytest.approx(0.6), pytest.approx(0.1 / math.sqrt(2)), 8)
    assert mean.high - mean.low == pytest.approx(2 * student(8) * 0.1 / math.sqrt(2))


def test_a_second_error_widens_an_interval() -> None:
    """As Welch and Satterthwaite have it: two errors alike have the degrees of both, and one far larger its own."""
    score = Interval.of(0.5, 0.03, 6)
    both = score.widened(0.04, 4)
    assert both.error == pytest.approx(0.05)
    assert both.degrees == math.floor(0.05**4 / (0.03**4 / 6 + 0.04**4 / 4))
    assert score.widened(0.03, 6).degrees == 12
    assert score.widened(30.0, 2).degrees == 2
    assert score.widened(0.0, 1) == score
    assert Interval.of(0.5, 0.0, 6).widened(0.1, 2) == Interval.of(0.5, 0.1, 2)
