"""The engine of one worker in this very process, ``workers=0``: no process to start, nothing to drive."""

import time
from dataclasses import replace
from typing import Any

from .job import Job
from .local import Watcher
from .plan import Plan
from .portions import Portions


class InlineEngine:
    """Does a job's tasks here, with torch's own number of threads."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def facts(self) -> dict[str, Any]:
        """The table's facts."""
        from .worker import Worker

        self.worker = Worker(self.job)
        return self.worker.facts()

    def run(self, plan: Plan, done: list[tuple[int, int]], facts: dict[str, Any], watcher: Watcher) -> None:
        """Does all tasks but those inside of ``done``, first and last numbers of files."""

        def advance(files: int, seconds: float, size: float) -> None:
            watcher.advance(files, seconds, size)
            watcher.tick()

        self.worker.job = replace(self.job, facts=facts)
        self.worker.embed.progress = advance
        portions = Portions(plan, done)
        while portion := portions.take(1):
            begun = time.monotonic()
            self.worker(portion.tasks, plan.items(portion.tasks[0].first, portion.tasks[-1].last))
            portions.done(portion, time.monotonic() - begun)

    def stop(self) -> None:
        """Nothing is left behind."""
