"""Runs one model through the kit, task by task: its folders, its finished tasks, and the kit's two runners.

    OUT/<module>/<model>/
        embeddings/<module>/<task>/     the kit's embeddings, shared by all grids
        <grid>-<points>/<task>/         links to them, and the kit's predictions and scores
        logs/

The kit itself names a folder only after the module: it would skip a second checkpoint, or another grid, as done. A task
that was interrupted starts again; a finished task is kept.
"""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from hear_audioformer import checkpoint

from .environment import KitError, child_environment

TABLES = ("task_metadata.json", "labelvocabulary.csv")


@dataclass(frozen=True)
class Run:
    """A model, the folder of tasks, and the grid of the kit's search for the best classifier."""

    python: Path
    module: str
    model: Path | None
    name: str
    tasks: Path
    out: Path
    grid: str
    points: int

    @property
    def folder(self) -> Path:
        return self.out / self.module / self.name

    @property
    def setting(self) -> str:
        return f"{self.grid}-{self.points}"

    def embeddings(self, task: str) -> Path:
        return self.folder / "embeddings" / self.module / task

    def predictions(self, task: str) -> Path:
        return self.folder / self.setting / task


def task_folders(tasks: Path, only: tuple[str, ...] = ()) -> list[str]:
    """The tasks of a folder, sorted by name; with ``only``, those with one of these folders or names."""
    names = {
        path.parent.name: json.loads(path.read_text())["task_name"] for path in sorted(tasks.glob(f"*/{TABLES[0]}"))
    }
    if not names:
        raise KitError(f"{tasks} holds no HEAR tasks, which are folders with a {TABLES[0]}")
    if unknown := [name for name in only if name not in names and name not in names.values()]:
        raise KitError(f"no task {', '.join(unknown)} in {tasks}; it holds {', '.join(names)}")
    return [folder for folder, name in names.items() if not only or folder in only or name in only]


def model_name(model: Path | None, called: str) -> str:
    """A unique name of a checkpoint: its file's name and the first digits of its hash."""
    if model is None:
        return "default"
    return f"{re.sub(r'[^A-Za-z0-9_.=-]+', '-', Path(called).stem)}-{checkpoint.sha256(model)[:8]}"


def embed(run: Run, task: str, lock: int) -> float | None:
    """Computes a task's embeddings. Returns the seconds, or None if they exist."""
    stored = run.embeddings(task)
    if (stored / ".done.embeddings").is_file():
        _check_same(run.tasks / task, stored)
        return None
    model = [] if run.model is None else ["--model", str(run.model)]
    folders = ["--tasks-dir", str(run.tasks), "--task", task, "--embeddings-dir", str(run.folder / "embeddings")]
    return _kit(run, task, "embeddings", [run.module, *model, *folders], lock)


def predict(run: Run, task: str, lock: int) -> float | None:
    """Fits classifiers on a task and scores them. Returns the seconds, or None if the scores exist."""
    folder = run.predictions(task)
    if (folder / "prediction-done.json").is_file():
        return None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    size = 0
    for file in sorted(path for path in run.embeddings(task).iterdir() if path.is_file()):
        (folder / file.name).symlink_to(os.path.relpath(file, folder))
        size += file.stat().st_size if file.name.endswith(".embeddings.npy") else 0
    # the kit needs twice a split's size to stack it in memory; from disk the scores are the same
    in_memory = size < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    search = ["--grid", run.grid, "--grid-points", str(run.points), "--in-memory", str(in_memory)]
    return _kit(run, task, "predictions", [str(folder), *search], lock)


def _check_same(task: Path, stored: Path) -> None:
    """Raises an error if the task's tables differ from the copies that the kit keeps beside the embeddings."""
    splits = json.loads((task / TABLES[0]).read_text())["splits"]
    for name in (*TABLES, *(f"{split}.json" for split in splits)):
        copy = stored / name
        if not copy.is_file() or copy.read_bytes() != (task / name).read_bytes():
            raise KitError(f"{task / name} has changed since {stored} was made: remove that, or choose another --out")


def _kit(run: Run, task: str, part: str, arguments: list[str], lock: int) -> float:
    """Runs one of the kit's runners in a process that inherits the lock, so that no second run starts meanwhile."""
    log = run.folder / "logs" / f"{task}.{part if part == 'embeddings' else run.setting}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(run.python), "-m", "evaluation.kit.inside", part, *arguments]
    started = time.monotonic()
    with open(log, "w") as file:
        print("+", *command, file=file, flush=True)
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=child_environment(), pass_fds=(lock,))
    if done.returncode:
        raise KitError(_failure(log, done.returncode))
    return time.monotonic() - started


def _failure(log: Path, code: int) -> str:
    """The end of a log, with advice."""
    text = log.read_text(errors="replace")
    ending = "\n".join(re.split(r"[\r\n]+", text.strip())[-8:])
    if rate := re.search(r"AssertionError: (.+)/(\d+)/[^/]+ is not a directory", text):
        advice = f"{rate[1]} has no audio at {rate[2]} Hz, the model's rate: see --prepare"
    elif code == -9:
        advice = "the system ended it, most likely for want of memory"
    else:
        advice = "run the same command again to retry this task"
    return f"{ending}\n{advice}; the whole log: {log}"
