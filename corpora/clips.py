"""One recording -> a clip: 16-kHz mono int16 samples, the reason why it is not kept, and a print to know it again.

A print is 64 bits of the rough spectral shape (8 parts in time, 8 steps between bands) and the length without the
silence around. Two clips of like length whose prints differ in at most 8 bits are taken for the same recording. Of 132
game sounds all were known again at half the level, nine in ten coded as Vorbis or MP3, eight in ten shifted by a part
of a frame; of 4 million pairs of like length from different packages, 37 were taken for the same.
"""

import csv
import gzip
import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from hear_audioformer import audio
from hear_audioformer.audio import AudioError
from hear_audioformer.files import atomic_write

RATE = 16000
MIN_SECONDS = 0.05
SILENCE = 10 ** (-60 / 20)
BLOCK = 1 << 20  # samples read at once
BITS = 8  # that may differ between prints of the same recording
SHA = 16  # digits of a clip's hash in a file of prints


class Print(NamedTuple):
    """What a clip is known by."""

    bits: int
    seconds: float


def decode(path: Path) -> tuple[np.ndarray, int]:
    """A file's samples as int16 at 16 kHz, none for an empty one, and the rate that it had; raises AudioError."""
    if path.suffix == ".gsm" and path.read_bytes()[:4] != b"RIFF":
        samples, rate = _samples(path, format="RAW", subtype="GSM610", samplerate=8000, channels=1)
    elif path.suffix == ".g722":
        samples, rate = _ffmpeg(path), RATE
    else:
        samples, rate = _samples(path)
    if not bool(torch.isfinite(samples).all()):
        raise AudioError(f"{path}: holds NaN or infinite samples")
    if not len(samples):
        return np.zeros(0, np.int16), rate
    return _int16(audio.resample(samples, rate, RATE)), rate


def fault(pcm: np.ndarray) -> str:
    """Why a clip is of no use, or nothing."""
    if len(pcm) < MIN_SECONDS * RATE:
        return "too short"
    return "silent" if int(np.abs(pcm.astype(np.int32)).max()) < SILENCE * 32767 else ""


def sha256_of(pcm: np.ndarray) -> str:
    """The hash that stands for a clip: of its samples, little-endian."""
    return hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()


def fingerprint(hashes: Iterable[str]) -> str:
    """The hash that stands for a corpus: of its clips' hashes, in whatever order they came."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def print_of(pcm: np.ndarray) -> Print | None:
    """A clip's print; None for one too short to have any."""
    frame = RATE // 100
    frames = len(pcm) // frame
    if frames < 4:
        return None
    level = np.abs(pcm[: frames * frame].astype(np.int32)).reshape(frames, frame).max(1)
    loud = np.flatnonzero(level > 0.02 * level.max())
    if not len(loud):
        return None
    trimmed = pcm[loud[0] * frame : (loud[-1] + 1) * frame].astype(np.float32) / 32768
    edges = np.geomspace(120, 0.45 * RATE, 10)
    rows = []
    for part in np.array_split(trimmed, 8):
        size = max(512, len(part))
        power = np.abs(np.fft.rfft(part, size)) ** 2
        bounds = np.searchsorted(np.fft.rfftfreq(size, 1 / RATE), edges)
        rows.append([np.log(power[a:b].sum() + 1e-9) for a, b in pairwise(bounds)])
    steps = np.diff(np.array(rows), axis=1)
    bits = np.packbits((steps > steps.mean(0)).ravel())
    return Print(int.from_bytes(bits.tobytes(), "big"), len(trimmed) / RATE)


class Prints:
    """The clips that are kept out, by hash and by print."""

    def __init__(self, entries: Iterable[tuple[str, Print | None]]) -> None:
        chosen = list(entries)
        self.hashes = {sha[:SHA] for sha, _ in chosen}
        prints = sorted((entry for _, entry in chosen if entry is not None), key=lambda entry: entry.seconds)
        self.bits = np.array([entry.bits for entry in prints], np.uint64)
        self.seconds = np.array([entry.seconds for entry in prints], np.float64)

    def __contains__(self, clip: tuple[str, Print | None]) -> bool:
        sha, entry = clip
        if sha[:SHA] in self.hashes:
            return True
        if entry is None:
            return False
        margin = 0.02 + 0.01 * entry.seconds
        start, end = np.searchsorted(self.seconds, [entry.seconds - margin, entry.seconds + margin])
        differing = self.bits[start:end] ^ np.uint64(entry.bits)
        return bool((np.unpackbits(differing.view(np.uint8)).reshape(-1, 64).sum(1) <= BITS).any())


def write_prints(path: Path, entries: Iterable[tuple[str, str, Print | None]]) -> int:
    """Writes (package, hash, print) of clips as CSV, sorted; returns their number."""
    chosen = list(entries)
    text = {entry: (f"{entry.bits:016x}", f"{entry.seconds:.3f}") if entry else ("", "") for _, _, entry in chosen}
    rows = sorted({(package, sha[:SHA], *text[entry]) for package, sha, entry in chosen})
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("package", "sha256", "print", "seconds"), *rows])
    return len(rows)


def read_prints(paths: Iterable[Path]) -> Prints:
    """What ``write_prints`` wrote, of several files together; raises ValueError for anything else."""
    entries: list[tuple[str, Print | None]] = []
    for path in paths:
        try:
            with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="") as file:
                for row in csv.DictReader(file):
                    known = Print(int(row["print"], 16), float(row["seconds"])) if row["print"] else None
                    entries.append((row["sha256"], known))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is no file of prints ({error!r})") from error
    return Prints(entries)


def _int16(samples: Tensor) -> np.ndarray:
    """Rounded; brought down as a whole where decoding or resampling went past full scale."""
    return (samples * (32767 / max(1.0, float(samples.abs().max())))).round().to(torch.int16).numpy()


def _samples(path: Path, **form: Any) -> tuple[Tensor, int]:
    """Channels averaged, at the file's own rate; as many samples as there are, whatever the header says."""
    blocks = [torch.zeros(0)]
    try:
        with soundfile.SoundFile(str(path), **form) as file:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(torch.from_numpy(block).mean(dim=1))
            return torch.cat(blocks), file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {getattr(error, 'error_string', error)}") from error


def _ffmpeg(path: Path) -> Tensor:
    """G.722, which libsndfile lacks."""
    if not shutil.which("ffmpeg"):
        raise AudioError(f"{path}: G.722 needs ffmpeg")
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if run.returncode:
        raise AudioError(f"{path}: {run.stderr.decode(errors='replace').strip()}")
    return torch.from_numpy(np.frombuffer(run.stdout, np.float32).copy())
