"""What a user sees of a long run: one line that changes on a terminal, elsewhere a plain line every ten seconds."""

import time
from typing import TextIO

INTERVAL = 10.0  # seconds between plain lines
REFRESH = 0.2  # seconds between changes of a line on a terminal


class Progress:
    """Counts what is done and writes it.

    Args:
        total: files of the run.
        size: bytes of the files that are to be done.
        done: files that were done before.
        stream: where to write; nowhere if None.
    """

    def __init__(self, total: int, size: int, done: int = 0, stream: TextIO | None = None) -> None:
        self.total, self.size, self.before, self.stream = total, size, done, stream
        self.files = 0
        self.seconds = 0.0
        self.bytes = 0.0
        self.begun = self._clock()
        self.terminal = bool(stream and stream.isatty())
        self.shown = self.begun

    def advance(self, files: int, seconds: float, size: float) -> None:
        """So many files, seconds of sound and bytes more are done."""
        self.files += files
        self.seconds += seconds
        self.bytes += size

    def tick(self) -> None:
        """Writes a line if it is time."""
        if self._clock() - self.shown >= (REFRESH if self.terminal else INTERVAL):
            self._write("\r\033[K" if self.terminal else "", "" if self.terminal else "\n")

    def finish(self) -> None:
        """Writes the last line, if there was one before or the run was long."""
        if self.terminal or self._clock() - self.begun >= INTERVAL:
            self._write("\r\033[K" if self.terminal else "", "\n")

    def line(self) -> str:
        """How far the run is."""
        elapsed = max(self._clock() - self.begun, 1e-6)
        files = self.before + self.files
        share = self.share()
        rates = f"{self.files / elapsed:.1f} files/s, {_amount(self.seconds / elapsed)} of sound a second"
        left = f", {_amount(elapsed / share - elapsed)} left" if 0 < share < 1 else ""
        return f"{files:,} of {self.total:,} files, {100 * share:.1f} %, {rates}{left}"

    def share(self) -> float:
        """How much of this run's work is done: of its bytes where sizes are known, else of its files."""
        files = self.files / max(1, self.total - self.before)
        return files if files >= 1 or self.bytes <= 0 else min(self.bytes / self.size, 1.0)

    def _write(self, before: str, after: str) -> None:
        self.shown = self._clock()
        if self.stream:
            self.stream.write(f"{before}{self.line()}{after}")
            self.stream.flush()

    @staticmethod
    def _clock() -> float:
        return time.monotonic()


class Listing:
    """Counts files while they are listed.

    Args:
        stream: where to write; nowhere if None.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.terminal = bool(stream and stream.isatty())
        self.shown = time.monotonic()
        self.lines = 0

    def __call__(self, count: int) -> None:
        if self.stream and time.monotonic() - self.shown >= (1.0 if self.terminal else INTERVAL):
            self.shown = time.monotonic()
            self.lines += 1
            self.stream.write(f"\r\033[Klisting: {count:,} files" if self.terminal else f"listing: {count:,} files\n")
            self.stream.flush()

    def finish(self) -> None:
        """Leaves the line."""
        if self.stream and self.terminal and self.lines:
            self.stream.write("\r\033[K")


def _amount(seconds: float) -> str:
    """A time in two units at most."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{int(hours)} h {int(minutes % 60)} min" if hours < 48 else f"{hours / 24:.1f} days"
