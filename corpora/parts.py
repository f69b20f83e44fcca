"""The finished steps of a corpus on their way into it: ``NAME.bin``, its encoded clips, and ``NAME.json``, about them.

Both appear whole or not at all, so that a run that was killed goes on after the last step that it finished.
"""

import io
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hear_audioformer.audio import AudioError

from . import catalogue, clips
from .clips import RATE, Print
from .sources import Fault, Source

FORMATS = {"flac": "flac", "opus": "opus"}  # format -> extension
OPUS_LEVEL = 0.93  # of libsndfile's quality: about 24 kbit/s for mono


@dataclass
class Row:
    """A clip: what the manifest says of it, its print, and where its bytes are."""

    sha256: str
    package: str
    version: str
    deb_sha256: str
    path: str
    kind: str
    source_rate: int
    samples: int
    labels: dict[str, str]
    print: Print | None = None
    offset: int = 0
    size: int = 0
    licence: str = ""  # names, once it is chosen

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    @property
    def key(self) -> str:
        """The clip's name in the shards: without a dot, the same in every corpus."""
        return self.sha256[:24]


@dataclass
class Part:
    """A finished step."""

    package: str
    version: str
    deb_sha256: str
    bytes: int
    licences: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    bin: Path = Path()


def make(source: Source, folder: Path, form: str) -> Part:
    """Does one step: every sound of a source decoded, checked and encoded; of ``form`` "" only prints are kept."""
    rows: list[Row] = []
    dropped: dict[str, int] = {}
    failed: list[str] = []
    seen: set[str] = set()
    package = source.provenance.package
    with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as name:
        work = Path(name)
        with open(work / "bin", "wb") as file:
            for sound in source.sounds(work):
                if isinstance(sound, Fault):
                    failed.append(f"{package}: {sound.path}: {sound.reason}")
                    continue
                try:
                    pcm, rate = clips.decode(sound.file)
                except (AudioError, RuntimeError) as error:  # also what resampling has to say
                    failed.append(f"{package}: {sound.path}: {str(error).removeprefix(f'{sound.file}: ')}")
                    continue
                sha = clips.sha256_of(pcm)
                if reason := clips.fault(pcm) or ("duplicate" if sha in seen else ""):
                    dropped[reason] = dropped.get(reason, 0) + 1
                    continue
                seen.add(sha)
                kind = sound.kind or catalogue.kind_of(package, sound.path, len(pcm) / RATE)
                row = Row(sha, package, "", "", sound.path, kind, rate, len(pcm), sound.labels)
                row.print, row.offset = clips.print_of(pcm), file.tell()
                row.size = file.write(encode(pcm, form)) if form else 0
                rows.append(row)
        told = source.provenance
        for row in rows:
            row.version, row.deb_sha256 = told.version, told.deb_sha256
        part = Part(package, told.version, told.deb_sha256, told.bytes, told.licences, rows, dropped, failed)
        (work / "json").write_text(json.dumps(asdict(part), default=str))
        os.replace(work / "bin", folder / f"{source.step}.bin")
        os.replace(work / "json", folder / f"{source.step}.json")
    part.bin = folder / f"{source.step}.bin"
    return part


def load(folder: Path, step: str) -> Part | None:
    """A finished step, if there is one."""
    note = folder / f"{step}.json"
    if not note.exists():
        return None
    told: dict[str, Any] = json.loads(note.read_text())
    rows = [Row(**{**row, "print": Print(*row["print"]) if row["print"] else None}) for row in told.pop("rows")]
    return Part(**{**told, "rows": rows, "bin": folder / f"{step}.bin"})


def encode(pcm: np.ndarray, form: str) -> bytes:
    """A clip as FLAC, which keeps every bit, or as Opus at about 24 kbit/s."""
    file = io.BytesIO()
    if form == "flac":
        soundfile.write(file, pcm, RATE, format="FLAC", subtype="PCM_16")
    else:
        soundfile.write(file, pcm, RATE, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
    return file.getvalue()
