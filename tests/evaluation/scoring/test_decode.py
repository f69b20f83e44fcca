"""Events out of probabilities, and their counts beside those of sed_eval, which HEAR's kit calls.

``python -m tests.evaluation.scoring.test_decode`` prints the figures of sed_eval again, where that is installed.
"""

import itertools

import numpy as np
import pytest

from evaluation.scoring.decode import EventTable, Probabilities, matched_onsets, segment_error_rate
from evaluation.tasks.write import Event

NAMES = ("a", "b", "c")
CLIPS = 4
# of sed_eval 0.2.1: seed -> (F-measure of onsets at 50 ms, at 200 ms, error rate of segments of 1 s)
SED_EVAL = {
    0: (0.2105263157894737, 0.26315789473684204, 0.8333333333333333),
    1: (0.05714285714285715, 0.1142857142857143, 0.7333333333333334),
    2: (0.0, 0.05405405405405406, 1.0769230769230769),
    3: (0.08333333333333333, 0.16666666666666666, 0.71875),
    4: (0.0, 0.041666666666666664, 0.7948717948717949),
    5: (0.08888888888888889, 0.13333333333333333, 0.7435897435897436),
    6: (0.0, 0.21739130434782608, 0.4375),
    7: (0.0, 0.043478260869565216, 0.6216216216216217),
}


def random_events(seed: int) -> list[list[list[Event]]]:
    """Found events of a few clips at any time, real ones on a grid of 10 ms as labels are; clips may have none.

    What is a tolerance apart to the microsecond is within it or not by sed_eval's rounding of seconds: hence no ties.
    """
    turn = np.random.RandomState(seed)

    def one(step: float, steps: int) -> Event:
        start, end = sorted(step * turn.choice(steps, 2, replace=False))
        return Event(NAMES[turn.randint(3)], float(start), float(end))

    found = [[one(0.137, 36000) for _ in range(turn.randint(12))] for _ in range(CLIPS)]
    return [found, [[one(10.0, 500) for _ in range(turn.randint(12))] for _ in range(CLIPS)]]


@pytest.mark.parametrize("seed", SED_EVAL)
def test_counts_are_those_of_sed_eval(seed: int) -> None:
    found, real = (EventTable.of(clips, NAMES) for clips in random_events(seed))
    total = len(found.lane) + len(real.lane)
    ours = [2 * matched_onsets(found, real, tolerance).sum() / total for tolerance in (50.0, 200.0)]
    assert (*ours, segment_error_rate(found, real)) == pytest.approx(SED_EVAL[seed])


def test_onsets_pair_as_often_as_can_be() -> None:
    turn = np.random.RandomState(0)
    for _ in range(100):
        found, real = ([Event("a", float(t), t + 5.0) for t in turn.randint(60, size=turn.randint(5))] for _ in "12")
        longer, shorter = sorted([found, real], key=len, reverse=True)
        best = max(
            sum(abs(one.start - other.start) <= 10 for one, other in zip(chosen, shorter, strict=True))
            for chosen in itertools.permutations(longer, len(shorter))
        )
        assert matched_onsets(EventTable.of([found], "a"), EventTable.of([real], "a"), 10.0).tolist() == [best]


def test_onsets_of_other_clips_and_classes_never_pair() -> None:
    one, other = Event("a", 100.0, 200.0), Event("b", 100.0, 200.0)
    found, real = EventTable.of([[one], [one, other], []], "ab"), EventTable.of([[other], [other], [one]], "ab")
    assert matched_onsets(found, real, 50.0).tolist() == [0, 1, 0]
    assert (found.per_clip().tolist(), real.per_clip().tolist()) == ([1, 2, 0], [1, 1, 1])


def test_segments_count_substitutions_deletions_and_insertions() -> None:
    real = EventTable.of([[Event("a", 0.0, 900.0), Event("b", 2000.0, 2900.0)]], "ab")
    found = EventTable.of([[Event("b", 100.0, 200.0), Event("a", 3100.0, 3200.0)]], "ab")
    assert segment_error_rate(found, real) == pytest.approx(3 / 2)  # one confused, one missed, one invented
    assert segment_error_rate(real, real) == 0


def of(*rows: str, hop: float = 40.0) -> Probabilities:
    """A clip a row, one class; "#" is a frame that sounds."""
    clips = [np.array([[0.9 if mark == "#" else 0.1] for mark in row], np.float32) for row in rows]
    return Probabilities.of(clips, [hop / 2 + hop * np.arange(len(row)) for row in rows])


def spans(lanes: EventTable) -> list[tuple[int, float, float]]:
    return list(zip(lanes.lane.tolist(), lanes.onset.tolist(), lanes.offset.tolist(), strict=True))


def test_events_are_runs_of_frames_from_centre_to_centre() -> None:
    assert spans(of("..##..###", "#").events(0.5, 0)) == [(0, 100.0, 140.0), (0, 260.0, 340.0), (1, 20.0, 20.0)]
    assert spans(of("..##").events(0.95, 0)) == []


def test_the_median_fills_gaps_and_drops_blips() -> None:
    smooth = of("...#....###.###....##...").events(0.5, 120.0)
    assert spans(smooth) == [(0, 340.0, 580.0), (0, 780.0, 820.0)]


def test_a_median_is_one_at_the_ends_too() -> None:
    turn = np.random.RandomState(0)
    row = "".join(turn.choice([".", "#"], 60))
    for median_ms, half in ((120.0, 1), (130.0, 1), (200.0, 2), (360.0, 4)):
        padded = "." * half + row + "." * half
        expected = "".join("#" if padded[i : i + 2 * half + 1].count("#") > half else "." for i in range(60))
        assert spans(of(row).events(0.5, median_ms)) == spans(of(expected).events(0.5, 0))


def by_sed_eval(predicted: list[list[Event]], reference: list[list[Event]]) -> tuple[float, ...]:
    """The same three figures by sed_eval."""
    import dcase_util
    import sed_eval

    onsets = {"evaluate_onset": True, "evaluate_offset": False}
    metrics = [sed_eval.sound_event.EventBasedMetrics([*NAMES], t_collar=c, **onsets) for c in (0.05, 0.2)]
    metrics.append(sed_eval.sound_event.SegmentBasedMetrics([*NAMES], time_resolution=1.0))

    def listed(clip: list[Event], index: int) -> object:
        rows = [
            {"event_label": e.label, "event_onset": e.start / 1000, "event_offset": e.end / 1000, "file": f"{index}"}
            for e in clip
        ]
        return dcase_util.containers.MetaDataContainer(rows)

    for metric in metrics:
        for index, (estimated, true_events) in enumerate(zip(predicted, reference, strict=True)):
            metric.evaluate(
                reference_event_list=listed(true_events, index), estimated_event_list=listed(estimated, index)
            )
    measures = [metric.overall_f_measure()["f_measure"] for metric in metrics[:2]]
    return (*(float(value) for value in measures), float(metrics[2].overall_error_rate()["error_rate"]))


if __name__ == "__main__":
    for number in range(8):
        print(f"    {number}: {by_sed_eval(*random_events(number))},")
