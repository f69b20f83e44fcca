"""Programs outside Python that make sound: found, or named with the Debian package they come in; run, or reported."""

import shutil
import subprocess
from collections.abc import Sequence

SECONDS = 300  # after which a program has hung


class ProgramError(RuntimeError):
    """A program that is missing or did not do its work; the message says what helps."""


def need(names: Sequence[str]) -> None:
    """Says all at once which of these programs are missing. Each has the name of its Debian package."""
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        packages = " ".join(missing)
        raise ProgramError(f"{', '.join(missing)} not found: on Debian or Ubuntu, apt install {packages}")


def run(command: Sequence[str]) -> None:
    """Runs a program to its end; its own last words are in the error when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{command[0]} did not end within {SECONDS} s") from error
    except OSError as error:
        raise ProgramError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise ProgramError(f"{command[0]} failed ({done.returncode}): {words[-1] if words else 'no reason given'}")
