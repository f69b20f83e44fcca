"""Opens one recording for ``audio.Reading``: a local file, a file behind a URL, a part of a tar file."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from hear_audioformer.bulk.places import LOCAL, Remote, State, normalised, suffix_of
from hear_audioformer.bulk.sources import Source
from hear_audioformer.errors import AudioError, InputError
from hear_audioformer.formats import TARS

WHOLE = 32 << 20  # bytes; a remote file up to this size is fetched by one request
BUFFER = 1 << 20  # bytes read ahead of a longer one
NO_RANGES = "its server sends whole files only, no parts; download the file first"


@contextmanager
def open_source(source: Source) -> Iterator[str | BinaryIO]:
    """What ``audio.read_blocks`` takes: a path, or a seekable binary file whose ``name`` is the source's path."""
    container = source.container or source.path
    if not source.container and suffix_of(source.path) in TARS:
        raise AudioError(f"{source.path}: {_why_no_tar(source.path)}")
    place, path = normalised(container)
    if place is LOCAL and not source.container:
        yield path
        return
    if isinstance(place, Remote) and 0 < source.size <= WHOLE:
        yield _Fetched(_fetched(place, path, source), source.path)
        return
    try:
        file = place.open(path)
    except Exception as error:
        raise _failure(source, container, error) from error
    with file:
        if not file.seekable():
            raise AudioError(f"{source.path}: {NO_RANGES}")
        size = source.size if source.container or source.size else file.seek(0, io.SEEK_END)
        yield io.BufferedReader(_Part(file, source.start, size, source.path), BUFFER)


def stat_now(path: str) -> State | None:
    """Size and time of the last change (ns) of a file or URL as it is now; None if there is none."""
    place, path = normalised(path)
    return place.state(path)


def state_now(source: Source) -> State | None:
    """What ``size`` and ``mtime`` a source would be listed with now; None if it has vanished."""
    state = stat_now(source.container or source.path)
    if state is None or not source.container:
        return state
    return (source.size, state[1]) if source.start + source.size <= state[0] else None


def _fetched(place: Remote, path: str, source: Source) -> bytes:
    try:
        content = place.files.cat_file(path, start=source.start, end=source.start + source.size)
    except Exception as error:  # each driver has its own
        raise _failure(source, path, error) from error
    if len(content) > source.size:  # the whole file
        raise AudioError(f"{source.path}: {NO_RANGES}")
    return bytes(content)


def _failure(source: Source, container: str, error: Exception) -> AudioError:
    if isinstance(error, FileNotFoundError):
        missing = f"its tar file {container} is gone" if source.container else "no such file"
        return AudioError(f"{source.path}: {missing}")
    return AudioError(f"{source.path}: {error or type(error).__name__}")


def _why_no_tar(path: str) -> str:
    try:
        missing = stat_now(path) is None
    except InputError as error:
        return str(error)
    return "no such file" if missing else "is damaged; only what stands before the damage is listed"


class _Fetched(io.BytesIO):
    """A file's bytes, with its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


class _Part(io.RawIOBase):
    """Some bytes of an open file as a file of their own."""

    def __init__(self, file: BinaryIO, start: int, size: int, name: str) -> None:
        self.file, self.start, self.size, self.name = file, start, size, name
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self.size - self.position))
        self.file.seek(self.start + self.position)
        content = self.file.read(count)
        buffer[: len(content)] = content
        self.position += len(content)
        return len(content)
