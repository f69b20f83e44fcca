"""Local folders and fsspec's URLs behind the same few questions: what is there, what a folder holds, open."""

import os
import posixpath
import re
import stat
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, cast
from urllib.parse import unquote, urlsplit

from hear_audioformer.errors import InputError

URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
DRIVERS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}  # on PyPI
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

State = tuple[int, int]  # size in bytes, time of the last change in ns; 0 where unknown
Kind = Literal["file", "folder", "link", "broken", "special"]  # link: to a folder


class Entry(NamedTuple):
    """One name of a folder."""

    name: str
    kind: Kind
    state: State | None = None  # where the listing says it


class Place(Protocol):
    """Where inputs lie."""

    def kind(self, path: str) -> Kind | None: ...
    def state(self, path: str) -> State | None: ...
    def entries(self, folder: str) -> list[Entry]: ...
    def open(self, path: str) -> BinaryIO: ...
    def join(self, folder: str, name: str) -> str: ...


class Local:
    """The machine's own files."""

    def kind(self, path: str) -> Kind | None:
        """``folder``, ``file`` (also a device or a pipe), or None if there is nothing."""
        if not os.path.exists(path):
            return None
        return "folder" if os.path.isdir(path) else "file"

    def state(self, path: str) -> State | None:
        try:
            found = os.stat(path)
        except (OSError, ValueError):  # ValueError: a name that no file can have
            return None
        return found.st_size, found.st_mtime_ns

    def entries(self, folder: str) -> list[Entry]:
        """What a folder holds, sorted by the bytes of the names, which no locale changes."""
        with os.scandir(folder or ".") as found:
            return sorted((Entry(one.name, _kind(one)) for one in found), key=lambda entry: os.fsencode(entry.name))

    def open(self, path: str) -> BinaryIO:
        return open(path, "rb")

    def join(self, folder: str, name: str) -> str:
        return name if folder == "." else os.path.join(folder, name)


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_dir():
            return "link" if entry.is_symlink() else "folder"
        if entry.is_file():
            return "file"
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:  # a link that leads to itself, or an entry that has just vanished
        return "broken"
    return "broken" if stat.S_ISLNK(mode) else "special"


class Remote:
    """Files behind URLs of one protocol, read through fsspec."""

    def __init__(self, url: str) -> None:
        import fsspec  # not at the top: it takes a third of a second

        protocol = url.partition("://")[0].lower()
        try:  # the cache of listings would grow with the tree
            self.files: Any = fsspec.url_to_fs(url, use_listings_cache=False)[0]
        except ImportError as error:
            driver = DRIVERS.get(protocol)
            remedy = f"needs {driver}: pip install {driver}" if driver else f"failed: {error}"
            raise InputError(f"{url}: reading {protocol}:// {remedy}") from error
        except Exception as error:
            raise InputError(f"{url}: {error}") from error

    def kind(self, path: str) -> Kind | None:
        if path.endswith("/"):
            return "folder"
        info = self._info(path)
        return None if info is None else "folder" if info["type"] == "directory" else "file"

    def state(self, path: str) -> State | None:
        self.files.invalidate_cache(self.files._parent(path))  # hf:// keeps listings whatever it is told
        info = self._info(path)
        return None if info is None else _state(info)

    def _info(self, path: str) -> Mapping[str, Any] | None:
        try:
            return cast("Mapping[str, Any]", self.files.info(path))
        except FileNotFoundError:
            return None
        except Exception as error:  # each driver has its own: of credentials, of the network
            raise InputError(f"{path}: {error or type(error).__name__}") from error

    def entries(self, folder: str) -> list[Entry]:
        try:
            infos = self.files.ls(folder, detail=True)
        except OSError:
            raise
        except Exception as error:
            raise OSError(f"{error or type(error).__name__}") from error
        itself = self.files._strip_protocol(folder).rstrip("/")
        found = []
        for info in infos:
            if info["name"].rstrip("/") != itself:  # an object store may hold an object with the folder's name
                name = info["name"].rstrip("/").rpartition("/")[2]
                found.append(Entry(name, "folder" if info["type"] == "directory" else "file", _state(info)))
        return sorted(found, key=lambda entry: os.fsencode(entry.name))

    def open(self, path: str) -> BinaryIO:
        return cast(BinaryIO, self.files.open(path, "rb"))

    def join(self, folder: str, name: str) -> str:
        return f"{folder}{name}" if folder.endswith("/") else f"{folder}/{name}"


def _state(info: Mapping[str, Any]) -> State:
    """Size and time of an ``info`` of fsspec, whose drivers agree on neither the key nor the type of the time."""
    keys = ("LastModified", "last_modified", "mtime", "updated", "created")
    value = next((info[key] for key in keys if info.get(key) is not None), 0)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            value = 0
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        time = (value - EPOCH) // timedelta(microseconds=1) * 1000
    else:
        time = round(value * 1_000_000) * 1000  # no float holds more
    return int(info.get("size") or 0), time


LOCAL = Local()
_REMOTES: dict[tuple[int, str], Remote] = {}  # by process: a driver's threads do not survive a fork


def normalised(path: str) -> tuple[Place, str]:
    """Where a path or URL lies, and its normal form: ``./a//b/`` is ``a/b``, ``file:///a`` is ``/a``."""
    scheme = URL.match(path)
    if scheme is None:
        return LOCAL, str(Path(path))
    protocol = scheme[1].lower()
    if protocol in {"file", "local"}:
        return LOCAL, str(Path(unquote(urlsplit(path).path, errors="surrogateescape")))
    if "::" in path:
        raise InputError(f"{path}: URLs joined by :: are not supported; name the files themselves")
    host = path[: path.find("/", scheme.end())] if "/" in path[scheme.end() :] else path
    key = os.getpid(), host
    if key not in _REMOTES:
        _REMOTES[key] = Remote(path)
    return _REMOTES[key], path


def beside(manifest: str, row: str) -> str:
    """The path that a row of a manifest names: a relative one starts at the manifest's folder."""
    scheme = URL.match(manifest)
    if URL.match(row) or os.path.isabs(row):
        return row
    if not scheme:
        return os.path.join(os.path.dirname(manifest), row)
    folder = posixpath.dirname(manifest[scheme.end() :])
    return scheme[0] + posixpath.normpath(posixpath.join(folder, row))  # a key of S3 with .. is another key


def suffix_of(path: str) -> str:
    """The extension in lower case, with its dot; that of a web address stands before its query."""
    scheme = URL.match(path)
    name = urlsplit(path).path if scheme and scheme[1].lower() in {"http", "https"} else path
    return os.path.splitext(name)[1].lower()
