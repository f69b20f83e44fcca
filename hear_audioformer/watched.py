"""Open files for libsndfile, none of whose failures is lost."""

from collections.abc import Callable
from typing import BinaryIO, TypeVar

T = TypeVar("T")


class Watched:
    """A binary file that keeps what it raises: libsndfile's callbacks would drop it, and take it for the file's end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.fault: BaseException | None = None

    def read(self, count: int) -> bytes:
        return self._guarded(self._file.read, b"", count)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._guarded(self._file.seek, 0, offset, whence)

    def tell(self) -> int:
        return self._guarded(self._file.tell, 0)

    def _guarded(self, call: Callable[..., T], otherwise: T, *arguments: int) -> T:
        if self.fault is not None:
            return otherwise
        try:
            return call(*arguments)
        except BaseException as fault:
            self.fault = fault
            return otherwise
