"""External synthesisers: checks that they are installed, and runs them."""

import shutil
import subprocess
from collections.abc import Sequence

SECONDS = 300  # timeout


class ProgramError(RuntimeError):
    """A program that is missing or failed; the message says what helps."""


def need(names: Sequence[str]) -> None:
    """Raises an error that names all missing programs. Each has the name of its Debian package."""
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        packages = " ".join(missing)
        raise ProgramError(f"{', '.join(missing)} not found: on Debian or Ubuntu, apt install {packages}")


def run(command: Sequence[str]) -> None:
    """Runs a program. If it fails, the error quotes the last line of its output."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{command[0]} did not end within {SECONDS} s") from error
    except OSError as error:
        raise ProgramError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise ProgramError(f"{command[0]} failed ({done.returncode}): {words[-1] if words else 'no reason given'}")
