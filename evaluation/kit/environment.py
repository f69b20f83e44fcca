"""The kit's virtual environment: its own packages first, then the caller's.

The kit needs an old Lightning. It also needs the caller's torch, the model's module and whatever that imports. So its
packages live in a virtual environment whose search path ends with the caller's site-packages. Nothing large is
installed twice, and the model runs on the caller's torch build.
"""

import fcntl
import hashlib
import json
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

HEAREVAL = "2021.1.3"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
REPOSITORY = Path(__file__).parents[2]
STATE = "hear-environment.json"
SHARED = ("torch", "numpy")  # packages of the caller: another version needs another environment


class KitError(RuntimeError):
    """A failure of the kit; the message says what to do."""


def ensure(folder: Path | None) -> Path:
    """The Python of an environment that can run the kit. Makes the environment if it is missing or outdated."""
    folder = (folder or default_folder()).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with locked(folder.with_name(f".{folder.name}.lock"), wait=True):
        if _state(folder) != {**_required_state(), "ready": True}:
            _make(folder, python)
    return python


def default_folder() -> Path:
    """A folder in the user's cache, one for each calling environment."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(json.dumps([sys.version, _sites()]).encode()).hexdigest()[:8]
    return cache / "hear_audioformer" / f"heareval-{HEAREVAL}-{key}"


def child_environment() -> dict[str, str]:
    """Environment variables for a process of the kit, which must find this repository and the caller's modules."""
    path = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "TQDM_MININTERVAL": "10"}


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[int]:
    """Holds a lock file and yields its descriptor. A child that inherits it keeps the lock if the parent ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise KitError(f"another run is still at work in {path.parent}: wait for its end, or end it") from error
        yield descriptor
    finally:
        os.close(descriptor)


def _make(folder: Path, python: Path) -> None:
    """Makes the environment from scratch, as a partial one cannot be trusted; pip's cache saves the downloads."""
    if folder.exists() and any(folder.iterdir()) and not (folder / STATE).is_file():
        raise KitError(f"{folder} is not an environment that this command made: name an empty or a new folder")
    print(f"making an environment for heareval {HEAREVAL} in {folder} (some minutes, once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_state(folder, {"ready": False})
    log = folder / "install.log"
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "venv", str(folder)], log)
    packages = next(folder.glob("lib/python*/site-packages"))
    lines = [f"import site; site.addsitedir({path!r})\n" for path in _sites()]
    (packages / "caller.pth").write_text("".join(lines))
    _run([*pip, "--requirement", str(REQUIREMENTS)], log)
    _run([*pip, "--no-deps", f"heareval=={HEAREVAL}"], log)  # it pins NumPy 1.19 and numba 0.48 without need
    for part in ("embeddings", "predictions"):
        _run([str(python), "-m", "evaluation.kit.inside", part, "--help"], log)
    _write_state(folder, {**_required_state(), "ready": True})


def _run(command: list[str], log: Path) -> None:
    """Runs one command and appends its output to the log."""
    with open(log, "a") as file:
        print("+", *command, file=file, flush=True)
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=child_environment())
    if done.returncode:
        ending = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise KitError(f"{ending}\nthis step failed: {' '.join(command)}\nthe whole log: {log}; run again to retry")


def _sites() -> list[str]:
    """The caller's site-packages folders."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [folder for folder in (*user, *site.getsitepackages()) if Path(folder).is_dir()]


def _required_state() -> dict[str, Any]:
    """The state that a fitting environment records."""
    return {
        "python": sys.version,
        "sites": _sites(),
        "heareval": HEAREVAL,
        "requirements": REQUIREMENTS.read_text(),
        "shared": {name: metadata.version(name) for name in SHARED},
    }


def _state(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / STATE).read_text()))
    except (OSError, ValueError):
        return {}


def _write_state(folder: Path, state: dict[str, Any]) -> None:
    part = folder / f"{STATE}.part"
    part.write_text(json.dumps(state, indent=1))
    part.replace(folder / STATE)
