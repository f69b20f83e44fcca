"""Tasks -> portions: what a worker does between two commits."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from .plan import Plan, Task

SHORTEST, LONGEST = 2.0, 60.0  # seconds of work in a portion
MOST = 128  # tasks of a portion, which bound what a worker and the engine hold of it
SHARE = 0.1  # of the time since the start that a portion may take; so much work is lost at most when a worker is killed


@dataclass(frozen=True)
class Portion:
    """Neighbouring tasks that one worker does and commits together.

    Attributes:
        careful: whether files are embedded one by one, because a worker died at one of them.
        deadly: numbers of files at which a worker died.
    """

    tasks: list[Task]
    careful: bool = False
    deadly: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(task.bytes for task in self.tasks)


class Portions:
    """Hands out a plan's tasks but those inside of ``done``, first and last numbers of files.

    Portions grow with the time since the start, so a short run loses seconds at most and a long one makes few parts.
    """

    def __init__(self, plan: Plan, done: list[tuple[int, int]]) -> None:
        self.left = self.count = 0
        for task in plan.tasks(done):
            self.left += task.bytes
            self.count += 1
        self.bytes = self.left
        self._tasks: Iterator[Task] = plan.tasks(done)
        self._next = next(self._tasks, None)
        self._again: deque[Portion] = deque()
        self._begun = time.monotonic()
        self._rate = 0.0  # bytes a second of one worker

    def take(self, workers: int) -> Portion | None:
        """The next portion for one of so many workers; None if there is none."""
        if self._again:
            return self._again.popleft()
        seconds = min(max(SHARE * (time.monotonic() - self._begun), SHORTEST), LONGEST)
        size = min(self._rate * seconds, self.left / (2 * workers))  # the last portions are small: all end together
        tasks: list[Task] = []
        taken = 0
        while self._next is not None and len(tasks) < MOST and not (tasks and taken + self._next.bytes > size):
            if tasks and self._next.first != tasks[-1].last + 1:
                break  # a done part lies between
            tasks.append(self._next)
            taken += self._next.bytes
            self._next = next(self._tasks, None)
        self.left -= taken
        return Portion(tasks) if tasks else None

    def done(self, portion: Portion, seconds: float) -> None:
        """Learns the rate from a portion that took so long."""
        self._rate = portion.bytes / max(seconds, 1e-3)

    def died(self, portion: Portion, at: int | None) -> None:
        """A worker died at a portion, and at a file if that was known: its tasks are done again, with care."""
        deadly = portion.deadly if at is None else (*portion.deadly, at)
        self._again.extend(Portion([task], True, deadly) for task in portion.tasks)
