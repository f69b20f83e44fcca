"""Debian packages: looked up in apt's index or on a mirror, downloaded, verified, and read without installing."""

import bz2
import functools
import gzip
import hashlib
import importlib
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError

CHUNK = 1 << 20
INDEXES = ("Packages.xz", "Packages.gz", "Packages")
ENVIRONMENT = {**os.environ, "LC_ALL": "C"}


class DebianError(RuntimeError):
    """A package that cannot be downloaded or read; the message says why."""


@dataclass(frozen=True)
class Deb:
    """A package in an index; ``url`` is empty if apt downloads it."""

    name: str
    version: str
    sha256: str
    url: str = ""

    @property
    def filename(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}.deb"


def find(name: str, mirror: str = "", suite: str = "") -> Deb:
    """The version that apt would install, or the one in the suite of a mirror (a URL or a folder)."""
    if mirror:
        stanza = _index(mirror, suite).get(name)
    else:
        stanza = _stanza(_apt("apt-cache", "show", "--no-all-versions", name))
    if not stanza or "SHA256" not in stanza:
        where = f"{mirror} {suite}" if mirror else "apt's index (does `apt-get update` help?)"
        raise DebianError(f"{name}: not in {where}")
    url = _join(mirror, stanza["Filename"]) if mirror else ""
    return Deb(name, stanza["Version"], stanza["SHA256"].lower(), url)


def download(deb: Deb, folder: Path) -> Path:
    """Downloads a package into a folder and checks its hash. Keeps a file that is already right."""
    target = folder / deb.filename
    if target.exists() and sha256_of(target) == deb.sha256:
        return target
    work = folder / f"{deb.name}.part"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        if deb.url:
            with _open(deb.url) as source, open(work / deb.filename, "wb") as file:
                shutil.copyfileobj(source, file, CHUNK)
        else:
            _apt("apt-get", "download", "-q", f"{deb.name}={deb.version}", cwd=work)
        [package] = work.glob("*.deb")
        if sha256_of(package) != deb.sha256:
            raise DebianError(f"{deb.name}: the download's SHA-256 is not the index's")
        os.replace(package, target)
    except (OSError, ValueError) as error:
        raise DebianError(f"{deb.name}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def members(deb: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """(path, open file) for every regular file in the package. Read each file before the next."""
    try:
        with open(deb, "rb") as file, _data(file, deb) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if member.isfile() and (content := tar.extractfile(member)) is not None:
                    yield member.name.removeprefix("./"), content
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise DebianError(f"{deb.name}: {error}") from error


def sha256_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _Window(io.RawIOBase):
    """The next ``size`` bytes of a file, as a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(min(len(buffer), self.left))
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)


@contextmanager
def _data(file: IO[bytes], deb: Path) -> Iterator[IO[bytes]]:
    """The package's data.tar, decompressed: a member of the .deb, which is an ar archive."""
    if file.read(8) != b"!<arch>\n":
        raise DebianError(f"{deb.name}: is no Debian package")
    while len(header := file.read(60)) == 60:
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        if name.startswith("data.tar"):
            window = io.BufferedReader(_Window(file, size), CHUNK)
            if name.endswith(".zst"):
                with _zstd(window, deb) as stream:
                    yield stream
                return
            openers: dict[str, Any] = {".xz": lzma.open, ".lzma": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
            opener = openers.get(Path(name).suffix)
            with opener(window, "rb") if opener else window as stream:
                yield stream
            return
        file.seek(size + size % 2, os.SEEK_CUR)
    raise DebianError(f"{deb.name}: holds no data.tar")


@contextmanager
def _zstd(window: IO[bytes], deb: Path) -> Iterator[IO[bytes]]:
    """Zstandard by Python 3.14's module, the zstandard package or dpkg-deb, whichever is installed."""
    for module, reader in (("compression.zstd", "ZstdFile"), ("zstandard", "open")):
        try:
            stream = getattr(importlib.import_module(module), reader)(window, "rb")
        except ImportError:
            continue
        with stream:
            yield stream
        return
    if not shutil.which("dpkg-deb"):
        raise DebianError(f"{deb.name}: is packed with Zstandard; pip install zstandard, or dpkg, reads it")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout
        while process.stdout.read(CHUNK):  # drain what follows the tar's end mark
            pass
    if process.returncode:
        raise DebianError(f"{deb.name}: dpkg-deb ended with {process.returncode}")


def _apt(*command: str, cwd: Path | None = None) -> str:
    if not shutil.which(command[0]):
        raise DebianError(f"{command[0]} is not here: on other systems name an archive with --mirror")
    run = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, check=False)
    if run.returncode:
        reason = [line for line in run.stderr.splitlines() if line.startswith("E:")] or [run.stderr.strip()]
        raise DebianError(f"{command[-1]}: {reason[0]} (does `apt-get update` help?)")
    return run.stdout


def _stanza(text: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^(Package|Version|Filename|SHA256): (\S+)", text))


@functools.lru_cache(maxsize=4)
def _index(mirror: str, suite: str) -> dict[str, dict[str, str]]:
    """A suite's packages by name."""
    openers: dict[str, Any] = {".xz": lzma.decompress, ".gz": gzip.decompress}
    for name in INDEXES:
        try:
            with _open(_join(mirror, f"dists/{suite}/main/binary-amd64/{name}")) as file:
                text = openers.get(Path(name).suffix, bytes)(file.read()).decode()
        except URLError:
            continue
        stanzas = map(_stanza, text.split("\n\n"))
        return {stanza["Package"]: stanza for stanza in stanzas if "Package" in stanza}
    raise DebianError(f"{mirror}: has no index of {suite}")


def _join(mirror: str, path: str) -> str:
    root = mirror if "://" in mirror else Path(mirror).resolve().as_uri()
    return f"{root.rstrip('/')}/{path}"


def _open(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=60)
