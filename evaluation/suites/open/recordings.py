"""The recordings that tasks are made of, out of the decoded packages in a folder."""

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile

from corpora import catalogue, parts
from corpora.parts import Part

NOTES = ".notes"  # marks the step of a sample bank, whose samples are read with their labels


class MissingError(RuntimeError):
    """A package that is not there; the message names it."""


@dataclass(frozen=True)
class Recording:
    """One decoded recording; ``package`` is without its coding, so that -g722 and -wav are one."""

    package: str
    path: str
    sha256: str
    seconds: float
    labels: dict[str, str]
    file: Path
    offset: int
    size: int

    @property
    def folders(self) -> tuple[str, ...]:
        """The parts of its path, without its own name."""
        return PurePosixPath(self.path).parts[:-1]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @property
    def key(self) -> str:
        """What draws go by: the same for all codings of a recording."""
        path = PurePosixPath(self.path)
        return f"{self.package}/{path.with_suffix('') if self.package in catalogue.EVAL_STEMS else path}"

    @property
    def name(self) -> str:
        """A name for its clip: without slashes, and no other recording's."""
        text = re.sub(r"[^A-Za-z0-9-]+", "_", self.stem)[:60]
        return f"{text}-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"

    def samples(self) -> np.ndarray:
        """(samples,), float32, 16 kHz."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            samples, _ = soundfile.read(io.BytesIO(file.read(self.size)), dtype="float32")
        return samples


class Library:
    """The packages in a folder of finished parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts: dict[str, Part] = {}

    def of(self, *packages: str) -> Iterator[Recording]:
        """The recordings of packages, in order of path; one that is in several of them comes once, from the first."""
        seen: set[str] = set()
        for package in packages:
            part = self.part(package)
            for row in sorted(part.rows, key=lambda row: row.path):
                if row.sha256 not in seen:
                    seen.add(row.sha256)
                    place = (part.bin, row.offset, row.size)
                    yield Recording(package, row.path, row.sha256, row.seconds, row.labels, *place)

    def part(self, package: str) -> Part:
        """A package, in whatever coding it was fetched."""
        if package not in self._parts:
            for path in sorted(self.folder.glob(f"{package}*.json")):
                step = path.name.removesuffix(".json")
                if uncoded(step.removesuffix(NOTES)) == package and (part := parts.load(self.folder, step)):
                    self._parts[package] = part
                    break
            else:
                raise MissingError(f"{package}: was not fetched")
        return self._parts[package]


def uncoded(package: str) -> str:
    """A package's name without the coding of its recordings."""
    match = catalogue.SAME.match(package)
    return match[1] if match else package
