"""The place of a result: its lock, its parts, and what is known of the run.

    NAME/part-....parquet   rows                      NAME/_run/run.json    facts, inputs, and whether it is complete
    NAME/_run/plan.sqlite   the files                 NAME/_run/errors.csv  files without a row, and odd ones
    NAME/_run/lock          held while a run is at work

A result in one file, ``NAME.npz`` or ``NAME.parquet``, has the same in ``NAME.npz.part/`` until it is complete. Readers
of Parquet pass over ``_run``, because its name begins with an underscore.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import StoreError
from ..files import write_text
from .parts import parts

SINGLE = (".npz", ".parquet", ".zarr")  # forms of a result in one piece
TABLES = {".csv", ".json", ".jsonl", ".npy", ".h5", ".hdf5", ".pt", ".txt"}  # names that ask for what there is not
PATIENCE = 3.0  # seconds that workers of a killed run may need to notice


@dataclass
class Run:
    """What ``run.json`` says.

    Attributes:
        facts: of the table; only a run with the same facts goes on.
        inputs: as they were given, in order.
        complete: whether all files were done.
    """

    facts: dict[str, Any]
    inputs: list[str] = field(default_factory=list)
    complete: bool = False


class Output:
    """The place of a result that is being made."""

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        suffix = self.out.suffix.lower()
        self.single = suffix if suffix in SINGLE and not str(out).endswith(("/", os.sep)) else ""
        if suffix in TABLES:
            raise StoreError(f"{out}: name a folder, such as {self.out.stem}/, or NAME.npz, NAME.parquet or NAME.zarr")
        self.form = "npz" if self.single == ".npz" else "parquet"
        if self.form == "parquet":
            self._require("pyarrow", "parquet", "write .npz")
        if self.single == ".zarr":
            self._require("zarr", "zarr", "write Parquet")
        self.folder = self.out.with_name(self.out.name + ".part") if self.single else self.out
        self.state = self.folder / "_run"
        self.temporary = self.state / "unfinished"
        self.plan = self.state / "plan.sqlite"

    def _require(self, module: str, extra: str, instead: str) -> None:
        try:
            import_module(module)
        except ImportError as error:
            raise StoreError(
                f"{self.out} needs {module}: pip install 'hear_audioformer[{extra}]', or {instead}"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Makes the folder and keeps other runs out of it, as do processes that inherit the descriptor."""
        if self.out.is_dir() and self.single and self.single != ".zarr":
            raise StoreError(f"{self.out} is a folder; choose another name")
        if not self.single and self.folder.exists() and not self.ours():
            raise StoreError(f"{self.out} exists and is no result of embed; choose another name")
        try:
            self.temporary.mkdir(parents=True, exist_ok=True)
            lock = open(self.state / "lock", "ab")  # noqa: SIM115
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot write: {error.strerror or error}") from error
        with lock:
            self._lock(lock)
            try:
                self._clear()
                yield lock.fileno()
            finally:
                self._clear()
                if self.folder.exists() and not (self.state / "run.json").exists() and not parts(self.folder):
                    shutil.rmtree(self.folder, ignore_errors=True)  # nothing was done

    def _lock(self, lock: BinaryIO) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise StoreError(f"{self.out}: another run is at work on it; wait for its end, or choose another name")
            time.sleep(0.1)

    def ours(self) -> bool:
        """Whether the folder is one of ours, or empty."""
        return self.folder.is_dir() and (self.state.is_dir() or not any(self.folder.iterdir()))

    def run(self) -> Run | None:
        """What is known of the run that the folder is of."""
        try:
            return Run(**json.loads((self.state / "run.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.state / 'run.json'} is damaged: begin anew with --overwrite") from error

    def save(self, run: Run) -> None:
        """Keeps what is known of the run."""
        write_text(self.state / "run.json", json.dumps(vars(run), indent=1), durable=True)

    def remove(self) -> None:
        """Removes parts and state, to begin anew."""
        for path in [*parts(self.folder), *self.state.glob("*")]:
            if path.name not in {"lock", self.temporary.name}:
                path.unlink()

    def _clear(self) -> None:
        """Removes what was never finished."""
        for path in self.temporary.glob("*"):
            path.unlink(missing_ok=True)


def _try_lock(file: BinaryIO) -> bool:
    """Takes an exclusive lock, which ends with the process; false if another holds it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
