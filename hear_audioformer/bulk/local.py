"""The local engine: worker processes on this machine, each with one thread or one GPU.

Threads of one process wait for each other at every product of matrices, and wait long when another program takes a
core. Processes of one thread share nothing: two cores give nearly twice the work of one, and a busy neighbour takes its
own share only.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import StoreError, WeightsError
from .job import Job
from .plan import Plan
from .portions import Portion, Portions
from .process import raw_item

WORTH_BYTES, WORTH_TASKS = 8 << 20, 4  # work for which one more worker is worth its start
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ERRORS: dict[str, type[Exception]] = {"WeightsError": WeightsError, "StoreError": StoreError, "TypeError": TypeError}
Events = queue.Queue[tuple["WorkerProcess", dict[str, Any]]]
GONE = {"gone": True}
GPU = Path("/dev/nvidia0")


class Watcher(Protocol):
    """What an engine tells of its work."""

    def advance(self, files: int, seconds: float, size: float) -> None:
        """So many files, seconds of sound and bytes more are done."""

    def tick(self) -> None:
        """Time passes; called twice a second at least."""


class WorkerProcess:
    """A worker, and what it is at."""

    def __init__(self, job: Job, threads: int, lock: int | None, events: Events) -> None:
        self.ready = False
        self.portion: Portion | None = None
        self.begun = 0.0
        self.at: int | None = None  # the number of a file, in a careful portion
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hear_audioformer.bulk.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": path},
            pass_fds=() if lock is None or os.name != "posix" else (lock,),
            start_new_session=True,  # Ctrl-C reaches the engine alone, and the engine ends the workers
        )
        threading.Thread(target=self._receive, args=(events,), daemon=True).start()
        self.send(job=asdict(job))

    def send(self, **message: Any) -> None:
        """Sends a line; whether the worker is gone is seen by its events."""
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass

    def give(self, portion: Portion, plan: Plan) -> None:
        """Sets the worker to work."""
        self.portion, self.begun, self.at = portion, time.monotonic(), None
        items = plan.items(portion.tasks[0].first, portion.tasks[-1].last)
        tasks = [[task.first, task.last, task.bytes] for task in portion.tasks]
        work = {"tasks": tasks, "items": [raw_item(item) for item in items]}
        self.send(**work, careful=portion.careful, deadly=portion.deadly)

    def kill(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.wait()

    def _receive(self, events: Events) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            events.put((self, json.loads(line)))
        events.put((self, GONE))


class LocalEngine:
    """Does a job's tasks in worker processes.

    Args:
        workers: number of processes; by default one for each GPU, else one for each core, and fewer for little work.
        threads: of each process.
        lock: a descriptor that the processes inherit: the result is locked until the last of them has ended.
    """

    def __init__(self, job: Job, workers: int | None = None, threads: int = 1, lock: int | None = None) -> None:
        self.job, self.threads, self.wanted, self.lock = job, threads, workers, lock
        self.events: Events = queue.Queue()
        self.gpus = 0
        early = workers if workers and not GPU.exists() else 1  # they load the model while files are listed
        self.workers = [self._worker(job) for _ in range(early)]

    def facts(self) -> dict[str, Any]:
        """The table's facts, once the first worker has loaded the model."""
        worker, event = self.events.get()
        if "ready" not in event:
            raise _error(worker, event)
        worker.ready = True
        self.gpus = event["ready"]["gpus"]
        return dict(event["ready"]["facts"])

    def run(self, plan: Plan, done: list[tuple[int, int]], facts: dict[str, Any], watcher: Watcher) -> None:
        """Does all tasks but those inside of ``done``, first and last numbers of files."""
        portions = Portions(plan, done)
        for number in range(len(self.workers), self._count(portions)):
            device = f"cuda:{number}" if self.gpus > 1 else self.job.device
            self.workers.append(self._worker(replace(self.job, device=device)))
        first = next(worker for worker in self.workers if worker.ready)
        first.send(facts=facts)
        self._give(first, portions, plan)
        while any(worker.portion for worker in self.workers):
            watcher.tick()
            try:
                worker, event = self.events.get(timeout=0.5)
            except queue.Empty:
                continue
            if "progress" in event:
                watcher.advance(*event["progress"])
            elif "at" in event:
                worker.at = event["at"]
            elif "ready" in event:
                worker.ready = True
                worker.send(facts=facts)
                self._give(worker, portions, plan)
            elif "done" in event and worker.portion:
                portions.done(worker.portion, time.monotonic() - worker.begun)
                self._give(worker, portions, plan)
            else:
                self._replace(worker, event, portions)

    def stop(self) -> None:
        """Ends all workers at once."""
        for worker in self.workers:
            worker.kill()

    def _worker(self, job: Job) -> WorkerProcess:
        return WorkerProcess(job, self.threads, self.lock, self.events)

    def _give(self, worker: WorkerProcess, portions: Portions, plan: Plan) -> None:
        """Hands a worker the next portion, if there is one."""
        portion = portions.take(len(self.workers))
        if portion:
            worker.give(portion, plan)
        else:
            worker.portion = None

    def _replace(self, worker: WorkerProcess, event: dict[str, Any], portions: Portions) -> None:
        """Starts another worker in the place of one that died at its work; its tasks are done again."""
        if "failed" in event or worker.portion is None:
            raise _error(worker, event)
        portions.died(worker.portion, worker.at)
        worker.kill()
        index = self.workers.index(worker)
        self.workers[index] = successor = self._worker(self.job)
        successor.portion = Portion([])  # it is waited for

    def _count(self, portions: Portions) -> int:
        """How many workers to run."""
        if self.wanted is not None:
            return self.wanted
        worth = max(portions.bytes // WORTH_BYTES, portions.count // WORTH_TASKS)
        return max(1, min(worth, self.gpus or cores() // self.threads))


def cores() -> int:
    """The processor cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:  # a container's share
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):
        return count


def _error(worker: WorkerProcess, event: dict[str, Any]) -> Exception:
    """The error that a worker ended with."""
    if "failed" in event:
        kind, message = event["failed"]
        return ERRORS.get(kind, ValueError)(message)
    return StoreError(f"a worker ended with code {worker.process.wait()} while it loaded the model; its error is above")
