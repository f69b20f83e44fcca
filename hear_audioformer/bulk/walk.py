"""What lies below a folder, in order of name, with the names of one folder at each level in memory."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hear_audioformer.bulk.patterns import fits, leads
from hear_audioformer.bulk.places import Entry, Local, Place
from hear_audioformer.bulk.skipped import Skipped


class Found(NamedTuple):
    """A name below a folder that is no folder."""

    path: str
    entry: Entry
    whole: bool  # belongs to a folder taken whole, and does not itself fit the pattern


def walk(place: Place, root: str, skipped: Skipped, pattern: Sequence[str] = ()) -> Iterator[Found]:
    """All that lies below a folder, or what fits a pattern; of a folder that fits, all that lies below it."""
    entered = Entered(root) if isinstance(place, Local) else None
    stack = [(root, (), not pattern, iter(place.entries(root)))]
    parts: tuple[str, ...]
    while stack:
        folder, parts, whole, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        path, here = place.join(folder, entry.name), (*parts, entry.name)
        fit = whole or fits(here, pattern)
        if entry.kind not in {"folder", "link"}:
            if fit:
                yield Found(path, entry, whole)
        elif fit or leads(here, pattern):
            if entered and not entered.add(path, entry.kind == "link"):
                skipped.add("a link to a folder that is listed already", path)
                continue
            try:
                stack.append((path, here, fit, iter(place.entries(path))))  # type: ignore[arg-type]
            except OSError as error:
                skipped.add(f"a folder that cannot be opened ({error.strerror or error})", path)


class Entered:
    """Which folders links have led to, so that each is listed once and no loop is followed."""

    def __init__(self, root: str) -> None:
        self.targets = [os.path.realpath(root or ".")]

    def add(self, path: str, is_link: bool) -> bool:
        """Whether to list a folder: not if another way leads to it as well."""
        if not is_link and len(self.targets) == 1:
            return True  # without links there is one way only
        target = os.path.realpath(path)
        if not is_link:
            return target not in self.targets
        if any(target == one or target.startswith(os.path.join(one, "")) for one in self.targets):
            return False
        self.targets.append(target)
        return True
