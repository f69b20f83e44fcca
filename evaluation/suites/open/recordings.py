"""The recordings of decoded packages in a folder, from which the tasks are made."""

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile

from corpora import catalogue, steps
from corpora.steps import StepResult

NOTES = ".notes"  # suffix of the step of a sample bank, whose samples have labels


class MissingError(RuntimeError):
    """A missing package; the message names it."""


@dataclass(frozen=True)
class Recording:
    """One decoded recording. ``package`` has no coding in its name: -g722 and -wav are the same."""

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
        """The folders of its path."""
        return PurePosixPath(self.path).parts[:-1]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @property
    def key(self) -> str:
        """The key of all draws: the same for all codings of a recording."""
        path = PurePosixPath(self.path)
        return f"{self.package}/{path.with_suffix('') if self.package in catalogue.EVAL_STEMS else path}"

    @property
    def name(self) -> str:
        """A unique name for its clip, without slashes."""
        text = re.sub(r"[^A-Za-z0-9-]+", "_", self.stem)[:60]
        return f"{text}-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"

    def samples(self) -> np.ndarray:
        """(samples,), float32, 16 kHz."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            samples, _ = soundfile.read(io.BytesIO(file.read(self.size)), dtype="float32")
        return samples


class Library:
    """The packages in a folder of step results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results: dict[str, StepResult] = {}

    def of(self, *packages: str) -> Iterator[Recording]:
        """The recordings of packages, sorted by path. A recording in several packages comes from the first."""
        seen: set[str] = set()
        for package in packages:
            result = self.result(package)
            for row in sorted(result.rows, key=lambda row: row.path):
                if row.sha256 not in seen:
                    seen.add(row.sha256)
                    extent = (result.bin, row.offset, row.size)
                    yield Recording(package, row.path, row.sha256, row.seconds, row.labels, *extent)

    def result(self, package: str) -> StepResult:
        """The step result of a package, in the coding that was fetched."""
        if package not in self._results:
            for path in sorted(self.folder.glob(f"{package}*.json")):
                step = path.name.removesuffix(".json")
                if uncoded(step.removesuffix(NOTES)) == package and (result := steps.load(self.folder, step)):
                    self._results[package] = result
                    break
            else:
                raise MissingError(f"{package}: was not fetched")
        return self._results[package]


def uncoded(package: str) -> str:
    """A package's name without the coding of its recordings."""
    match = catalogue.SAME_RECORDINGS.match(package)
    return match[1] if match else package
