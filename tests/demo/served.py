"""The page, served on a port that is free."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hear_audioformer.demo.shelf import Shelf
from hear_audioformer.demo.sound import Limits


@contextmanager
def served(shelf: Shelf, limits: Limits | None = None) -> Iterator[str]:
    """The address of a page."""
    from hear_audioformer.demo.serve import serve

    page: Any = serve(shelf, limits or Limits(), port=free_port(), wait=False, workers=0)
    try:
        yield page.local_url
    finally:
        page.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
