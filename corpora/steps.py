"""The steps of building a corpus. A step turns one source into ``NAME.bin`` (encoded clips) and ``NAME.json``.

Both files appear whole or not at all, so a run that was killed resumes after its last finished step.
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
from .clips import RATE, Fingerprint
from .sources import Fault, Source

FORMATS = {"flac": "flac", "opus": "opus"}  # format -> extension
FIELD_KEYS = {"fingerprint": "print"}  # names of fields in a step's JSON, where they differ
OPUS_LEVEL = 0.93  # of libsndfile's quality: about 24 kbit/s for mono


@dataclass
class ClipRow:
    """A clip: its columns of the manifest, its fingerprint, and the extent of its bytes in ``NAME.bin``."""

    sha256: str
    package: str
    version: str
    deb_sha256: str
    path: str
    kind: str
    source_rate: int
    samples: int
    labels: dict[str, str]
    fingerprint: Fingerprint | None = None
    offset: int = 0
    size: int = 0
    licence: str = ""  # names, set once the clip is selected

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    @property
    def key(self) -> str:
        """The clip's name in the shards: it has no dot and is the same in every corpus."""
        return self.sha256[:24]


@dataclass
class StepResult:
    """The result of one step: the clips of a source, and counts of dropped clips."""

    package: str
    version: str
    deb_sha256: str
    bytes: int
    licences: dict[str, str]
    rows: list[ClipRow] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    bin: Path = Path()


def make(source: Source, folder: Path, encoding: str) -> StepResult:
    """Decodes, checks and encodes every recording of a source. With ``encoding`` "" it keeps only fingerprints."""
    rows: list[ClipRow] = []
    dropped: dict[str, int] = {}
    failed: list[str] = []
    seen: set[str] = set()
    package = source.provenance.package
    with tempfile.TemporaryDirectory(prefix="work-", dir=folder) as name:
        work = Path(name)
        with open(work / "bin", "wb") as file:
            for recording in source.recordings(work):
                if isinstance(recording, Fault):
                    failed.append(f"{package}: {recording.path}: {recording.reason}")
                    continue
                try:
                    pcm, rate = clips.decode(recording.file)
                except (AudioError, RuntimeError) as error:  # resampling raises RuntimeError
                    failed.append(f"{package}: {recording.path}: {str(error).removeprefix(f'{recording.file}: ')}")
                    continue
                sha = clips.sha256_of(pcm)
                if reason := clips.drop_reason(pcm) or ("duplicate" if sha in seen else ""):
                    dropped[reason] = dropped.get(reason, 0) + 1
                    continue
                seen.add(sha)
                kind = recording.kind or catalogue.kind_of(package, recording.path, len(pcm) / RATE)
                row = ClipRow(sha, package, "", "", recording.path, kind, rate, len(pcm), recording.labels)
                row.fingerprint, row.offset = clips.fingerprint_of(pcm), file.tell()
                row.size = file.write(encode(pcm, encoding)) if encoding else 0
                rows.append(row)
        provenance = source.provenance
        for row in rows:
            row.version, row.deb_sha256 = provenance.version, provenance.deb_sha256
        result = StepResult(
            package,
            provenance.version,
            provenance.deb_sha256,
            provenance.bytes,
            provenance.licences,
            rows,
            dropped,
            failed,
        )
        (work / "json").write_text(json.dumps(_content(result), default=str))
        os.replace(work / "bin", folder / f"{source.step}.bin")
        os.replace(work / "json", folder / f"{source.step}.json")
    result.bin = folder / f"{source.step}.bin"
    return result


def _content(result: StepResult) -> dict[str, Any]:
    """The content of a step's JSON file."""
    content = asdict(result)
    content["rows"] = [{FIELD_KEYS.get(name, name): value for name, value in row.items()} for row in content["rows"]]
    return content


def _clip_row(content: dict[str, Any]) -> ClipRow:
    bits_and_seconds = content.pop("print")
    return ClipRow(**content, fingerprint=Fingerprint(*bits_and_seconds) if bits_and_seconds else None)


def load(folder: Path, step: str) -> StepResult | None:
    """The result of a step, or None if the step is not finished."""
    file = folder / f"{step}.json"
    if not file.exists():
        return None
    content: dict[str, Any] = json.loads(file.read_text())
    rows = [_clip_row(row) for row in content.pop("rows")]
    return StepResult(**{**content, "rows": rows, "bin": folder / f"{step}.bin"})


def encode(pcm: np.ndarray, encoding: str) -> bytes:
    """A clip as FLAC, which keeps every bit, or as Opus at about 24 kbit/s."""
    file = io.BytesIO()
    if encoding == "flac":
        soundfile.write(file, pcm, RATE, format="FLAC", subtype="PCM_16")
    else:
        soundfile.write(file, pcm, RATE, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
    return file.getvalue()
