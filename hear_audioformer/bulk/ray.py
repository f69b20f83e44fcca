"""The Ray engine: the same workers and the same part files, on a cluster.

Ray Data hands out a table of paths, never of sound, and actors commit the parts. So a run goes on from its parts, by
this engine or the local one, whatever becomes of the cluster. All nodes must see the recordings and the folder of the
result.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .job import Job
from .local import THREADS, Watcher
from .plan import Plan, Task
from .process import item_of, raw_item

PORTION_BYTES = 64 << 20
PORTION_FILES = 256
TABLES = 256  # files of the table of paths, at most; each is a block that one actor takes


class RayWorker:
    """An actor's worker: takes rows of the table of paths, commits parts, and answers what it did."""

    def __init__(self, job: Job, folder: str, threads: int) -> None:
        import torch

        from .worker import Worker

        if Path(folder).is_dir():
            os.chdir(folder)  # relative paths are of the driver's
        torch.set_num_threads(threads)
        self.seconds = self.size = 0.0
        self.worker = Worker(job, self._advance)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        done: dict[str, list[Any]] = {"files": [], "seconds": [], "bytes": []}
        for text in batch["portion"]:
            portion = json.loads(str(text))
            tasks = [Task(*task) for task in portion["tasks"]]
            self.seconds = self.size = 0.0
            self.worker(tasks, [item_of(raw) for raw in portion["items"]])
            done["files"].append(len(portion["items"]))
            done["seconds"].append(self.seconds)
            done["bytes"].append(self.size)
        return done

    def _advance(self, files: int, seconds: float, size: float) -> None:
        self.seconds += seconds
        self.size += size


class RayEngine:
    """Does a job's tasks in actors of the cluster that Ray is connected to; starts Ray here if there is none.

    Args:
        workers: actors at most; by default as many as the cluster has GPUs, or else cores for.
        threads: of each.
    """

    def __init__(self, job: Job, workers: int | None, threads: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise StoreError("--engine ray needs Ray: pip install 'hear_audioformer[ray]'") from error
        self.ray, self.threads, self.wanted = ray, threads, workers
        self.job = replace(job, folder=os.path.abspath(job.folder), temporary=os.path.abspath(job.temporary))
        self.started = not ray.is_initialized()
        if self.started:
            ray.init(log_to_driver=False, include_dashboard=False, runtime_env={"env_vars": self._environment()})

    def _environment(self) -> dict[str, str]:
        """What the workers need to import this very package, with so many threads."""
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**dict.fromkeys(THREADS, str(self.threads)), "PYTHONPATH": path}

    def facts(self) -> dict[str, Any]:
        """The table's facts, from a worker that a node loads for that."""
        job, folder, threads = self.job, os.getcwd(), self.threads

        def ask() -> dict[str, Any]:
            return RayWorker(job, folder, threads).worker.facts()

        remote: Any = self.ray.remote(ask).options(num_cpus=threads, num_gpus=self._gpus_each(), max_retries=0)
        try:
            return dict(self.ray.get(remote.remote()))
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def run(self, plan: Plan, done: list[tuple[int, int]], facts: dict[str, Any], watcher: Watcher) -> None:
        """Does all tasks but those inside of ``done``, first and last numbers of files."""
        tables = Path(self.job.folder) / "_run" / "portions"
        portions = self._write(tables, plan, done)
        try:
            table = self.ray.data.read_parquet(str(tables), override_num_blocks=len(list(tables.iterdir())))
            results = table.map_batches(
                RayWorker,
                fn_constructor_args=(replace(self.job, facts=facts), os.getcwd(), self.threads),
                compute=self.ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(portions, self._count()))),
                batch_size=1,
                num_cpus=self.threads,
                num_gpus=self._gpus_each(),
            )
            for row in results.iter_rows():
                watcher.advance(row["files"], row["seconds"], row["bytes"])
                watcher.tick()
        finally:
            shutil.rmtree(tables, ignore_errors=True)

    def stop(self) -> None:
        """Leaves the cluster as it was found."""
        if self.started:
            self.ray.shutdown()

    def _gpus_each(self) -> int:
        wanted = self.job.device is None or self.job.device.startswith("cuda")
        return int(wanted and self.ray.cluster_resources().get("GPU", 0) > 0)

    def _count(self) -> int:
        """Actors at most."""
        if self.wanted:
            return self.wanted
        resources = self.ray.cluster_resources()
        return int(resources["GPU"] if self._gpus_each() else resources.get("CPU", 1) // self.threads)

    def _write(self, folder: Path, plan: Plan, done: list[tuple[int, int]]) -> int:
        """Writes the table of paths, in files; returns the number of its rows."""
        import pyarrow as pa
        from pyarrow import parquet

        total = sum(1 for _ in _portions(plan, done))
        folder.mkdir(exist_ok=True)
        rows = _portions(plan, done)
        for number in count():
            texts = [_text(tasks, plan) for tasks in islice(rows, -(-total // TABLES))]
            if not texts:
                return total
            parquet.write_table(pa.table({"portion": texts}), folder / f"{number:06}.parquet")
        raise AssertionError


def _portions(plan: Plan, done: list[tuple[int, int]]) -> Iterator[list[Task]]:
    """Neighbouring tasks that are committed together."""
    tasks: list[Task] = []
    for task in plan.tasks(done):
        full = tasks and (
            sum(one.bytes for one in tasks) >= PORTION_BYTES or task.last - tasks[0].first >= PORTION_FILES
        )
        if tasks and (full or task.first != tasks[-1].last + 1):
            yield tasks
            tasks = []
        tasks.append(task)
    if tasks:
        yield tasks


def _text(tasks: list[Task], plan: Plan) -> str:
    items = [raw_item(item) for item in plan.items(tasks[0].first, tasks[-1].last)]
    return json.dumps({"tasks": [[task.first, task.last, task.bytes] for task in tasks], "items": items})
