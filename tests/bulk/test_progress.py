"""Progress as people see it, on a terminal and in a log."""

import io

import pytest

from hear_audioformer.bulk.progress import Listing, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("hear_audioformer.bulk.progress.time.monotonic", lambda: now[0])
    return now


def test_a_plain_line_each_ten_seconds(clock: list[float]) -> None:
    log = io.StringIO()
    progress = Progress(1000, 1_000_000, 200, log)
    for _ in range(100):
        clock[0] += 0.5
        progress.advance(2, 20.0, 2500)
        progress.tick()
    lines = log.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0] == "240 of 1,000 files, 5.0 %, 4.0 files/s, 40 s of sound a second, 3 min left"
    assert lines[-1].startswith("400 of 1,000 files, 25.0 %")


def test_a_terminal_has_one_line(clock: list[float]) -> None:
    terminal = Terminal()
    progress = Progress(10, 100, 0, terminal)
    for _ in range(10):
        clock[0] += 1
        progress.advance(1, 5.0, 0)
        progress.tick()
    progress.finish()
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().count("\r") == 11
    assert "10 of 10 files, 100.0 %" in terminal.getvalue()


def test_a_long_file_shows_progress_by_its_sound(clock: list[float]) -> None:
    log = io.StringIO()
    progress = Progress(1, 100, 0, log)
    clock[0] += 11
    progress.advance(0, 660.0, 20)
    progress.tick()
    assert log.getvalue() == "0 of 1 files, 20.0 %, 0.0 files/s, 60 s of sound a second, 44 s left\n"


def test_nothing_is_written_without_a_stream(clock: list[float]) -> None:
    progress = Progress(1, 1)
    clock[0] += 100
    progress.tick()
    progress.finish()
    Listing(None)(10)


def test_a_long_listing_says_so(clock: list[float]) -> None:
    log = io.StringIO()
    listing = Listing(log)
    listing(0)
    clock[0] += 10
    listing(123_000)
    assert log.getvalue() == "listing: 123,000 files\n"
