"""Portions: sizes, order, what becomes of work that a worker died at."""

from pathlib import Path

from hear_audioformer.bulk import portions
from hear_audioformer.bulk.plan import Plan
from hear_audioformer.bulk.portions import Portion, Portions
from tests.bulk.test_plan import some


def filled(tmp_path: Path, tasks: int) -> Plan:
    plan = Plan(tmp_path / "plan")
    plan.add(some(32 * tasks))
    return plan


def test_all_tasks_come_once_in_order(tmp_path: Path) -> None:
    plan = filled(tmp_path, 50)
    queue = Portions(plan, [])
    taken = []
    while portion := queue.take(2):
        taken += [task.first for task in portion.tasks]
        queue.done(portion, 0.01)
    assert taken == list(range(0, 1600, 32))


def test_portions_take_about_the_shortest_time_at_first_and_end_small(tmp_path: Path) -> None:
    queue = Portions(filled(tmp_path, 200), [])
    first = queue.take(2)
    assert first
    assert len(first.tasks) == 1
    queue.done(first, portions.SHORTEST / 10)  # so 10 tasks take the shortest time
    second = queue.take(2)
    assert second
    assert len(second.tasks) == 10
    last = [second]
    while portion := queue.take(2):
        last.append(portion)
    assert len(last[-1].tasks) == 1


def test_a_portion_does_not_span_what_is_done(tmp_path: Path) -> None:
    queue = Portions(filled(tmp_path, 5), [(64, 95)])
    queue._rate = 1e9  # so fast that all would be one portion
    taken = []
    while portion := queue.take(1):
        taken.append([task.first for task in portion.tasks])
    assert [first for some in taken for first in some] == [0, 32, 96, 128]
    assert next(some for some in taken if some[-1] >= 96)[0] == 96


def test_tasks_of_a_dead_worker_come_again_one_by_one_with_care(tmp_path: Path) -> None:
    queue = Portions(filled(tmp_path, 3), [])
    queue._rate = 1e9
    portion = queue.take(1)
    assert portion
    queue.died(portion, None)
    again = queue.take(1)
    assert again == Portion(portion.tasks[:1], True)
    queue.died(again, 17)
    seen = []
    while portion := queue.take(1):
        seen.append(portion)
    assert Portion(again.tasks, True, (17,)) in seen
