"""Work that threads do ahead of the one who needs it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(pool: Executor, work: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """``map`` in order by a pool, at most ``count`` results ahead; an endless list of items needs no more memory."""
    upcoming = iter(items)
    queue: deque[Future[R]] = deque()
    while True:
        queue.extend(pool.submit(work, item) for item in islice(upcoming, count - len(queue)))
        if not queue:
            return
        yield queue.popleft().result()
