"""A worker in a process of its own, which the local engine drives by lines of JSON.

    python -m hear_audioformer.bulk.process < work > events

The first line is a job. The process answers {"ready": ...} with the table's facts, and is sent those that parts shall
hold. Then each line is a portion, {"tasks": ..., "items": ..., "careful": ..., "deadly": ...}. Events are
{"progress": [files, seconds, bytes]}, {"at": file}, {"done": ...} and {"failed": [kind, message]}. When the input ends,
because the engine stopped or was killed, the process ends at once.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from dataclasses import asdict, replace
from typing import Any, TextIO

from .job import Job
from .plan import Item, Task
from .sources import Source

EXPECTED = ("WeightsError", "StoreError", "ValueError", "TypeError")  # errors that say what to do, in one line


def main() -> None:
    """Reads work until the input ends."""
    events = os.fdopen(os.dup(1), "w", buffering=1)  # a library that prints must not disturb them
    os.dup2(2, 1)
    work: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_receive, args=(sys.stdin, work), daemon=True).start()
    try:
        _work(work, events)
    except BaseException as error:
        name = type(error).__name__
        _send(events, failed=[name, str(error) if name in EXPECTED else f"{name}: {error}"])
        if name not in EXPECTED:
            traceback.print_exc()
    finally:
        os._exit(1)  # threads that decode do not end by themselves


def _receive(lines: TextIO, work: queue.Queue[dict[str, Any]]) -> None:
    for line in lines:
        work.put(json.loads(line))
    os._exit(0)  # the engine is gone: nothing that is under way can be of use


def _work(work: queue.Queue[dict[str, Any]], events: TextIO) -> None:
    import torch

    from .worker import Worker

    job = Job(**work.get()["job"])
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    torch.set_num_threads(int(threads) if threads.isdigit() and threads != "0" else 1)
    worker = Worker(job, lambda *done: _send(events, progress=done))
    gpus = torch.cuda.device_count() if job.device is None or job.device == "cuda" else 0
    _send(events, ready={"facts": worker.facts(), "gpus": gpus})
    worker.job = replace(job, facts=work.get()["facts"])
    while True:
        portion = work.get()
        tasks = [Task(*task) for task in portion["tasks"]]
        items = [item_of(raw) for raw in portion["items"]]
        if portion["careful"]:
            worker.careful(tasks, items, portion["deadly"], lambda number: _send(events, at=number))
        else:
            worker(tasks, items)
        _send(events, done=True)


def _send(events: TextIO, **event: Any) -> None:
    events.write(json.dumps(event) + "\n")


def raw_item(item: Item) -> list[Any]:
    """A file of the plan for JSON."""
    return [item.number, asdict(item.source)]


def item_of(raw: list[Any]) -> Item:
    """The file of the plan that ``raw_item`` was given."""
    return Item(raw[0], Source(**raw[1]))


if __name__ == "__main__":
    main()
