"""Names with ``*``, ``?``, ``[...]``, ``**`` and ``{000..012}``, as a shell reads them."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from hear_audioformer.bulk.places import URL

MAGIC = re.compile(r"[*?[]")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_glob(path: str) -> bool:
    """Whether a path that does not exist as it is written is a pattern. A web address may hold ``?`` for its query."""
    return "*" in path if path.lower().startswith(("http://", "https://")) else bool(MAGIC.search(path))


def apart(path: str) -> tuple[str, tuple[str, ...]]:
    """The folder up to the first part that is a pattern, and the parts from there on."""
    scheme = URL.match(path)
    start = scheme.end() if scheme else 0
    parts = path[start:].split("/")
    first = next(index for index, part in enumerate(parts) if MAGIC.search(part))
    root = "/".join(parts[:first])
    if not root and first and not scheme:
        root = "/"
    return path[:start] + root, tuple(part for part in parts[first:] if part)


def fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path fit the pattern's."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        deeper = bool(parts) and not parts[0].startswith(".") and fits(parts[1:], pattern)
        return deeper or fits(parts, pattern[1:])
    return bool(parts) and _fits(parts[0], pattern[0]) and fits(parts[1:], pattern[1:])


def leads(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a folder with these parts may hold what fits the pattern."""
    if not parts:
        return bool(pattern)
    if not pattern:
        return False
    if pattern[0] == "**":
        return not parts[0].startswith(".") or leads(parts, pattern[1:])
    return _fits(parts[0], pattern[0]) and leads(parts[1:], pattern[1:])


def _fits(name: str, pattern: str) -> bool:
    hidden = name.startswith(".") and not pattern.startswith(".")
    return not hidden and fnmatchcase(name, pattern)


def expanded(path: str) -> Iterator[str]:
    """The paths of ``shard-{000..012}.tar``, with the zeros of the lower bound; a path without braces is itself."""
    found = RANGE.search(path)
    if not found:
        yield path
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from expanded(f"{path[: found.start()]}{number:0{len(first)}d}{path[found.end() :]}")
