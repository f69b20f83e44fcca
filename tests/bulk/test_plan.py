"""The plan: numbers, tasks, what is left, what is added."""

from pathlib import Path

import pytest

from hear_audioformer.bulk.plan import TASK_BYTES, TASK_FILES, Plan, Task
from hear_audioformer.bulk.sources import Source


def some(count: int, size: int = 10, name: str = "a") -> list[Source]:
    return [Source(f"{name}{number:05}.wav", size, number) for number in range(count)]


def test_tasks_hold_all_files_in_order(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan")
    assert plan.add(some(100)) == 100
    tasks = list(plan.tasks())
    assert [(task.first, task.last) for task in tasks] == [(0, 31), (32, 63), (64, 95), (96, 99)]
    assert [item.source for task in tasks for item in plan.items(task.first, task.last)] == some(100)
    assert [item.number for item in plan.items(30, 33)] == [30, 31, 32, 33]


def test_large_files_are_tasks_of_their_own(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan")
    plan.add(some(3, size=TASK_BYTES))
    assert list(plan.tasks()) == [Task(number, number, TASK_BYTES) for number in range(3)]


def test_done_tasks_are_left_out(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan")
    plan.add(some(5 * TASK_FILES))
    left = list(plan.tasks([(0, 31), (64, 127)]))
    assert [task.first for task in left] == [32, 128]
    assert list(plan.tasks([(0, 159)])) == []


def test_a_file_stands_once_and_a_plan_outlives_its_process(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan")
    plan.add([*some(3), *some(3)])
    plan.close()
    plan = Plan(tmp_path / "plan")
    assert plan.files == 3
    assert plan.add([*some(3), *some(2, name="b")]) == 2
    assert [(task.first, task.last) for task in plan.tasks()] == [(0, 2), (3, 4)]


def test_files_to_try_again_get_new_numbers(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan")
    plan.add(some(4))
    assert plan.add(some(4), again=[1, 2]) == 2
    assert plan.files == 4
    assert [item.source.path for item in plan.items(4, 5)] == ["a00001.wav", "a00002.wav"]
    assert [item.number for item in plan.items(0, 3)] == [0, 3]


def test_a_listing_that_fails_adds_nothing(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan")

    def broken() -> object:
        yield from some(50)
        raise OSError("the folder is gone")

    with pytest.raises(OSError, match="gone"):
        plan.add(broken())  # type: ignore[arg-type]
    assert plan.files == 0
    assert list(plan.tasks()) == []


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "plan")
    source = Source("b\udcff.wav", 1, 2, "c\udcfe.tar", 512)
    plan.add([source])
    assert plan.items(0, 0)[0].source == source
