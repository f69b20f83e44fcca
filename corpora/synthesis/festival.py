"""Festival as a program that stays: one process a voice, because loading a voice takes longer than saying a word."""

import subprocess
import threading
from functools import cache
from pathlib import Path

from .programs import ProgramError

DONE = "(said)"
SECONDS = 30.0  # that it may take over a text


class Voice:
    """A voice of Festival, in a process of its own.

    Args:
        name: of the voice, as Festival's ``voice_NAME``.
        encoding: of the text that it reads.
    """

    def __init__(self, name: str, encoding: str) -> None:
        self.name, self.encoding = name, encoding
        self._lock, self._process = threading.Lock(), self._start()

    def say(self, words: str, stretch: float, path: Path) -> None:
        """Writes a WAV file of words, spoken ``stretch`` times as slowly as the voice does by itself."""
        if set('"\\') & set(words):
            raise ValueError(f"{words!r}: quotes and backslashes are Festival's own")
        command = (
            f"(Parameter.set 'Duration_Stretch {stretch:.3f})"
            f'(utt.save.wave (utt.synth (Utterance Text "{words}")) "{path}" \'riff)'
            f'(format t "{DONE}\\n")(fflush nil)\n'
        )
        with self._lock:
            guard = threading.Timer(SECONDS, self._process.kill)
            guard.start()
            heard = self._heard(command)
            guard.cancel()
            if not heard:
                self._process = self._start()
                help_ = "is the voice installed? docs/labelled-set.md names the packages"
                raise ProgramError(f"festival failed over {words!r} by {self.name}: {help_}")

    def _heard(self, command: str) -> bool:
        """Whether the process did what it was told to."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        try:
            stdin.write(command.encode(self.encoding))
            stdin.flush()
        except OSError:
            return False
        return any(line.strip() == DONE.encode() for line in iter(stdout.readline, b""))

    def _start(self) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        process = subprocess.Popen(["festival", "--pipe"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert process.stdin
        process.stdin.write(f"(voice_{self.name})\n".encode())
        return process


@cache
def voice(name: str, encoding: str) -> Voice:
    """The one process of a voice."""
    return Voice(name, encoding)
