"""Sources of recordings: a Debian package, or files of the user's own. Each source is one step of a build."""

import csv
import hashlib
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from hear_audioformer import audio

from . import bundles, catalogue, debian
from .debian import DebianError

BATCH = 200  # of the user's files in one step
LICENCE = re.compile(r"(licen[cs]e|copying|copyright|notice)[^/]*$", re.IGNORECASE)

LICENCE_PATTERNS = {
    "GPL": r"(?<!Lesser )(?<!Library )General Public Licen[sc]e|(?<![A-Z])GPL",
    "LGPL": r"(Lesser|Library) General Public Licen[sc]e|LGPL",
    "CC-BY-SA": r"(?i)CC.BY.SA|Creative Commons Attribution.Share",
    "CC-BY": r"(?i)CC.BY(?!.SA|.N)|Creative Commons Attribution(?!.Share|.No)",
    "CC0": r"CC0|CC-0",
    "BSD": r"BSD|Redistribution and use in source and binary forms",
    "MIT": r"\bMIT\b|Permission is hereby granted, free of charge",
    "public domain": r"(?i)public.domain",
}


class SourceRecording(NamedTuple):
    """One recording. Its file exists until the next recording is requested."""

    path: str  # inside the package, with ! between an archive and its member
    file: Path
    kind: str = ""  # if empty, the catalogue's rules decide
    labels: dict[str, str] = {}  # noqa: RUF012


class Fault(NamedTuple):
    """A file that cannot be opened, and the reason."""

    path: str
    reason: str


@dataclass
class Provenance:
    """A source's version, hash, size and licences; complete once all its recordings were read."""

    package: str
    version: str = ""
    deb_sha256: str = ""
    bytes: int = 0
    licences: dict[str, str] = field(default_factory=dict)  # name of the file -> text


def licence_names(texts: Iterable[str]) -> str:
    """Names of the licences in copyright files: the fields of machine-readable files, else well-known names.

    The files cover code and images too. Only the files themselves are binding.
    """
    text = "\n".join(texts)
    names = set(re.findall(r"(?m)^License: *(\S.*?)\s*$", text))
    return "; ".join(sorted(names or {name for name, pattern in LICENCE_PATTERNS.items() if re.search(pattern, text)}))


class Source(Protocol):
    """A source of recordings. ``step`` is its name, with everything that its recordings depend on."""

    step: str
    provenance: Provenance

    def recordings(self, work: Path) -> Iterator[SourceRecording | Fault]:
        """Every recording; ``work`` is for temporary files."""
        ...


class Package:
    """A Debian package.

    Args:
        name: the package.
        keep: the folder that keeps its .deb; without one the .deb is deleted.
        mirror: an archive's URL or folder; without one, apt downloads.
        suite: of the mirror.
    """

    def __init__(self, name: str, keep: Path | None = None, mirror: str = "", suite: str = "") -> None:
        self.step, self.keep, self.mirror, self.suite = name, keep, mirror, suite
        self.provenance = Provenance(name)

    def recordings(self, work: Path) -> Iterator[SourceRecording | Fault]:
        deb = debian.find(self.step, self.mirror, self.suite)
        path = debian.download(deb, self.keep or work)
        self.provenance = Provenance(self.step, deb.version, deb.sha256, path.stat().st_size)
        for name, content in debian.members(path):
            suffix = catalogue.suffix_of(name)
            if name.startswith("usr/share/doc/") and name.endswith("/copyright"):
                self.provenance.licences["copyright"] = content.read().decode("utf-8", "replace")
            elif suffix in catalogue.AUDIO or suffix in catalogue.ARCHIVES or suffix in bundles.READERS:
                file = work / f"member{suffix}"
                with open(file, "wb") as target:
                    shutil.copyfileobj(content, target, debian.CHUNK)
                yield from _recordings(name, file, self.step)
                file.unlink()
        if not self.keep:
            path.unlink()
        if not self.provenance.licences:
            raise DebianError(f"{self.step}: holds no copyright file")


def _recordings(path: str, file: Path, package: str, depth: int = 0) -> Iterator[SourceRecording | Fault]:
    """The recordings of a file: the file itself, or the members of an archive or bundle."""
    suffix = file.suffix
    temporary = file.with_name(f"inside{depth}")
    try:
        if suffix in bundles.READERS:
            for name, data in bundles.READERS[suffix](file.read_bytes()):
                temporary.write_bytes(data)
                yield SourceRecording(f"{path}!{name}", temporary, "", catalogue.labels_of(package, f"{path}!{name}"))
        elif suffix in catalogue.ARCHIVES:
            if depth < 2 and zipfile.is_zipfile(file):
                yield from _zip_recordings(path, file, package, depth)
        else:
            yield SourceRecording(path, file, "", catalogue.labels_of(package, path))
    except (zipfile.BadZipFile, ValueError, KeyError, ArithmeticError, NotImplementedError) as error:
        yield Fault(path, f"{type(error).__name__}: {error}")
    finally:
        temporary.unlink(missing_ok=True)


def _zip_recordings(path: str, file: Path, package: str, depth: int) -> Iterator[SourceRecording | Fault]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            suffix = catalogue.suffix_of(member.filename)
            if suffix in catalogue.AUDIO or suffix in catalogue.ARCHIVES:
                inner = file.with_name(f"zipped{depth}{suffix}")
                with archive.open(member) as content, open(inner, "wb") as target:
                    shutil.copyfileobj(content, target, debian.CHUNK)
                yield from _recordings(f"{path}!{member.filename}", inner, package, depth + 1)
                inner.unlink()


class Files:
    """A batch of the user's own files. The step's name changes if one of the files changes."""

    def __init__(self, name: str, root: Path, entries: list[tuple[Path, str, str]]) -> None:
        self.root, self.entries = root, entries
        digest = hashlib.sha256(repr([(_state(path), *rest) for path, *rest in entries]).encode())
        self.step = f"{name}-{digest.hexdigest()[:16]}"
        self.provenance = Provenance(name)

    def recordings(self, work: Path) -> Iterator[SourceRecording | Fault]:
        self.provenance.licences = {
            path.name: path.read_text(errors="replace")
            for path in sorted(self.root.iterdir())
            if LICENCE.match(path.name) and path.is_file()
        }
        for path, kind, label in self.entries:
            inside = path.relative_to(self.root) if path.is_relative_to(self.root) else path
            if path.is_file():
                yield SourceRecording(str(inside), path, kind or "other", {"label": label} if label else {})
            else:
                yield Fault(str(inside), "is no file")


def user_files(origin: Path) -> list[Files]:
    """The sources of a folder of audio, or of a CSV file with a column ``path`` or ``file_name``."""
    if origin.is_dir():
        root, entries = origin, [(path, "", "") for path in audio.find([origin])]
    else:
        root, entries = origin.parent, _csv_entries(origin)
    if not entries:
        raise ValueError(f"{origin}: names no audio files")
    name = re.sub(r"[^\w.-]", "_", origin.resolve().name if origin.is_dir() else origin.stem)
    return [Files(name, root, entries[start : start + BATCH]) for start in range(0, len(entries), BATCH)]


def _csv_entries(origin: Path) -> list[tuple[Path, str, str]]:
    """The rows (path, kind, label) of a CSV file; paths are relative to its folder."""
    with open(origin, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        column = next((name for name in ("path", "file_name") if name in (reader.fieldnames or [])), None)
        if column is None:
            raise ValueError(f"{origin}: has neither a column 'path' nor 'file_name'")
        return [(origin.parent / row[column], row.get("kind") or "", row.get("label") or "") for row in reader]


def _state(path: Path) -> str:
    """A file's path, size and modification time."""
    if not path.is_file():
        return f"{path}|missing"
    stat = path.stat()
    return f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
