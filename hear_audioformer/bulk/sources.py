"""The recordings that the inputs name: files, folders, globs, manifests, tar files; local or behind a URL.

A listing is a stream. Of a folder's tree it holds the names of one folder at each level, of a manifest one batch of
rows, of a tar file one header. It imports no torch. Inputs that overlap name a recording twice.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hear_audioformer import formats
from hear_audioformer.bulk import manifests, patterns, tars
from hear_audioformer.bulk.places import LOCAL, Place, State, beside, normalised, suffix_of
from hear_audioformer.bulk.skipped import Skipped
from hear_audioformer.bulk.walk import Found, walk
from hear_audioformer.errors import InputError

UNKNOWN: State = (0, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """One recording of the inputs.

    Attributes:
        path: as the result names it: ``folder/a.flac``, ``s3://bucket/a.flac``, ``shard-000.tar/0001.flac``.
        size: bytes; 0 if unknown.
        mtime: time of the last change in ns, of a tar file's member that of the tar file; 0 if unknown.
        container: the tar file that holds it.
        start: its first byte in the tar file.
    """

    path: str
    size: int
    mtime: int
    container: str = ""
    start: int = 0


def shown(text: str) -> str:
    """A path, or a message that holds one, as valid UTF-8: bytes that are none as ``\\xNN``."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, of a manifest
        return text.encode("utf-8", "backslashreplace").decode()


def sources(inputs: Sequence[str], *, path_column: str = "path", skipped: Skipped) -> Iterator[Source]:
    """The recordings in the order of the inputs, those of a folder in order of name.

    A file that is named and missing is a source like others, so that it gets its row among the errors. Raises
    ``InputError``: at once for an input that cannot be read, later for a glob without a match and a bad manifest's row.
    """
    for name in inputs:
        _check(name)
    return _sources(inputs, Listing(path_column, skipped))


def _sources(inputs: Sequence[str], listing: "Listing") -> Iterator[Source]:
    for name in inputs:
        yield from listing.input(name)


def _check(name: str) -> None:
    """Refuses an input that cannot be listed, before anything is."""
    if not name:
        raise InputError("an input is empty; name a file, a folder, a glob, a manifest or a tar file")
    place, path = normalised(name)
    if path.lower().endswith(formats.COMPRESSED_TARS) and place.kind(path) != "folder":
        raise InputError(f"{name}: in a compressed tar file nothing can be found by seeking; unpack it, or recompress "
                         "it as .tar")  # fmt: skip
    pattern = patterns.is_glob(path) or patterns.RANGE.search(path)
    if suffix_of(path) in manifests.READERS and not pattern and place.kind(path) is None:
        raise InputError(f"{name}: no such manifest; name a table of paths that exists")


class Listing:
    """Lists inputs one by one; counts what it passes over."""

    def __init__(self, path_column: str, skipped: Skipped) -> None:
        self.path_column, self.skipped = path_column, skipped

    def input(self, name: str) -> Iterator[Source]:
        """One input. What exists as it is written is taken so, even with ``*`` or ``[`` in its name."""
        place, path = normalised(name)
        kind = place.kind(path)
        if kind == "folder":
            yield from self._folder(place, path)
        elif kind is None and patterns.RANGE.search(path):
            for one in patterns.expanded(path):
                yield from self.input(one)
        elif kind is None and patterns.is_glob(path):
            yield from self._glob(place, path)
        else:
            yield from self._named(place, path)

    def _folder(self, place: Place, path: str) -> Iterator[Source]:
        try:
            for found in walk(place, path, self.skipped):
                yield from self._inside(place, found)
        except OSError as error:
            raise InputError(f"{path}: the folder cannot be listed ({error.strerror or error})") from error

    def _glob(self, place: Place, path: str) -> Iterator[Source]:
        root, pattern = patterns.apart(path)
        suffix = suffix_of(pattern[-1])
        asked = "" if patterns.MAGIC.search(suffix) else suffix  # *.m4a names files, * does not
        matched = False
        try:
            for found in walk(place, root, self.skipped, pattern):
                named = asked and not found.whole and suffix_of(found.path) == asked and found.entry.kind == "file"
                for source in (
                    self._named(place, found.path, found.entry.state) if named else self._inside(place, found)
                ):
                    matched = True
                    yield source
        except FileNotFoundError:
            pass
        except OSError as error:
            raise InputError(f"{path}: {root or '.'} cannot be listed ({error.strerror or error})") from error
        if not matched:
            raise InputError(f"{path}: no audio file fits this pattern; check it, and that its folder exists")

    def _inside(self, place: Place, found: Found) -> Iterator[Source]:
        """A file of a folder: taken if its name says that it is audio."""
        path, entry, suffix = found.path, found.entry, suffix_of(found.entry.name)
        if entry.kind == "broken":
            if suffix in formats.EXTENSIONS | formats.UNREADABLE | {""}:
                self.skipped.add("a broken link", path)
        elif suffix in formats.EXTENSIONS:
            if entry.kind == "special":
                self.skipped.add("a pipe, socket or device, not a file", path)
            else:
                yield Source(path, *(entry.state or place.state(path) or UNKNOWN))
        elif suffix in formats.TARS or path.lower().endswith(formats.COMPRESSED_TARS):
            self.skipped.add("a tar file inside a folder: give it by name", path)
        elif reason := formats.reason_to_skip(suffix):
            self.skipped.add(reason, path)

    def _named(self, place: Place, path: str, state: State | None = None) -> Iterator[Source]:
        """A file given by name: a table or a tar file for what it holds, anything else as it is."""
        suffix = suffix_of(path)
        if suffix in manifests.READERS:
            yield from self._manifest(place, path, suffix)
        elif suffix in formats.TARS:
            yield from self._tar(place, path)
        else:
            yield Source(path, *(state or place.state(path) or UNKNOWN))

    def _manifest(self, place: Place, path: str, suffix: str) -> Iterator[Source]:
        try:
            file = place.open(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        with file:
            for row in manifests.rows(file, path, suffix, self.path_column):
                there, name = normalised(beside(path, row))
                if suffix_of(name) in formats.TARS:
                    yield from self._tar(there, name)
                else:  # a request for each of a million remote rows would take hours
                    yield Source(name, *((there.state(name) if there is LOCAL else None) or UNKNOWN))

    def _tar(self, place: Place, path: str) -> Iterator[Source]:
        """The members of a tar file. Where it is missing or damaged, it is itself a source that cannot be read."""
        state = place.state(path)
        if state is None:
            yield Source(path, *UNKNOWN)
            return
        try:
            with place.open(path) as file:
                for member in tars.members(file):
                    name, suffix = f"{path}/{member.name}", suffix_of(member.name)
                    if suffix not in formats.EXTENSIONS:
                        if reason := formats.reason_to_skip(suffix):
                            self.skipped.add(reason, name)
                    elif not member.whole:
                        self.skipped.add("a link or a sparse file inside a tar file", name)
                    else:
                        yield Source(name, member.size, state[1], path, member.start)
        except (tarfile.TarError, OSError):
            yield Source(path, *state)
