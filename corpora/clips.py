"""A recording decoded to a clip (16-kHz mono int16 samples), and the acoustic fingerprint that recognises it.

A fingerprint is 64 bits of coarse spectral shape (8 segments in time, 8 differences between bands) and the duration
without the silence at both ends. Two clips match if their durations are close and their bits differ in at most 8
places. A test on 132 game sounds recognised all of them at half the level, nine in ten after Vorbis or MP3 coding, and
eight in ten after a shift by part of a frame. Among 4 million pairs of similar duration from different packages, 37
matched by mistake.
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
MAX_DIFFERING_BITS = 8  # between two fingerprints of one recording
SHA_DIGITS = 16  # of a clip's hash in a file of fingerprints


class Fingerprint(NamedTuple):
    """A clip's acoustic fingerprint: 64 bits, and the duration without silence at both ends."""

    bits: int
    seconds: float


def decode(path: Path) -> tuple[np.ndarray, int]:
    """A file's samples as int16 at 16 kHz (an empty array for an empty file), and its own rate.

    Raises AudioError.
    """
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


def drop_reason(pcm: np.ndarray) -> str:
    """Why a clip is dropped; an empty string for a good one."""
    if len(pcm) < MIN_SECONDS * RATE:
        return "too short"
    return "silent" if int(np.abs(pcm.astype(np.int32)).max()) < SILENCE * 32767 else ""


def sha256_of(pcm: np.ndarray) -> str:
    """SHA-256 of a clip's little-endian samples."""
    return hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()


def corpus_hash(hashes: Iterable[str]) -> str:
    """SHA-256 of the clips' hashes in any order: what ``corpus.json`` and the packs store as ``fingerprint``."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def fingerprint_of(pcm: np.ndarray) -> Fingerprint | None:
    """A clip's fingerprint; None for a clip that is too short or silent."""
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
    levels = []
    for segment in np.array_split(trimmed, 8):
        size = max(512, len(segment))
        power = np.abs(np.fft.rfft(segment, size)) ** 2
        bounds = np.searchsorted(np.fft.rfftfreq(size, 1 / RATE), edges)
        levels.append([np.log(power[a:b].sum() + 1e-9) for a, b in pairwise(bounds)])
    steps = np.diff(np.array(levels), axis=1)
    bits = np.packbits((steps > steps.mean(0)).ravel())
    return Fingerprint(int.from_bytes(bits.tobytes(), "big"), len(trimmed) / RATE)


class Fingerprints:
    """The clips to exclude. ``(sha256, fingerprint) in fingerprints`` finds a clip by either."""

    def __init__(self, entries: Iterable[tuple[str, Fingerprint | None]]) -> None:
        listed = list(entries)
        self.hashes = {sha[:SHA_DIGITS] for sha, _ in listed}
        fingerprints = sorted((entry for _, entry in listed if entry is not None), key=lambda entry: entry.seconds)
        self.bits = np.array([entry.bits for entry in fingerprints], np.uint64)
        self.seconds = np.array([entry.seconds for entry in fingerprints], np.float64)

    def __contains__(self, clip: tuple[str, Fingerprint | None]) -> bool:
        sha, fingerprint = clip
        if sha[:SHA_DIGITS] in self.hashes:
            return True
        if fingerprint is None:
            return False
        margin = 0.02 + 0.01 * fingerprint.seconds
        start, end = np.searchsorted(self.seconds, [fingerprint.seconds - margin, fingerprint.seconds + margin])
        differing = self.bits[start:end] ^ np.uint64(fingerprint.bits)
        return bool((np.unpackbits(differing.view(np.uint8)).reshape(-1, 64).sum(1) <= MAX_DIFFERING_BITS).any())


def write_fingerprints(path: Path, entries: Iterable[tuple[str, str, Fingerprint | None]]) -> int:
    """Writes (package, hash, fingerprint) of clips as CSV, sorted. Returns the number of rows."""
    listed = list(entries)
    text = {entry: (f"{entry.bits:016x}", f"{entry.seconds:.3f}") if entry else ("", "") for _, _, entry in listed}
    rows = sorted({(package, sha[:SHA_DIGITS], *text[entry]) for package, sha, entry in listed})
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("package", "sha256", "print", "seconds"), *rows])
    return len(rows)


def read_fingerprints(paths: Iterable[Path]) -> Fingerprints:
    """Reads files of ``write_fingerprints`` into one set. Raises ValueError for any other file."""
    entries: list[tuple[str, Fingerprint | None]] = []
    for path in paths:
        try:
            with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="") as file:
                for row in csv.DictReader(file):
                    fingerprint = Fingerprint(int(row["print"], 16), float(row["seconds"])) if row["print"] else None
                    entries.append((row["sha256"], fingerprint))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is no file of prints ({error!r})") from error
    return Fingerprints(entries)


def _int16(samples: Tensor) -> np.ndarray:
    """Rounds to int16. Attenuates the whole clip if decoding or resampling exceeded full scale."""
    return (samples * (32767 / max(1.0, float(samples.abs().max())))).round().to(torch.int16).numpy()


def _samples(path: Path, **options: Any) -> tuple[Tensor, int]:
    """The mean of the channels at the file's own rate. Reads to the end, as headers can give a wrong length."""
    blocks = [torch.zeros(0)]
    try:
        with soundfile.SoundFile(str(path), **options) as file:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(torch.from_numpy(block).mean(dim=1))
            return torch.cat(blocks), file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {getattr(error, 'error_string', error)}") from error


def _ffmpeg(path: Path) -> Tensor:
    """Decodes G.722, which libsndfile does not read."""
    if not shutil.which("ffmpeg"):
        raise AudioError(f"{path}: G.722 needs ffmpeg")
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if run.returncode:
        raise AudioError(f"{path}: {run.stderr.decode(errors='replace').strip()}")
    return torch.from_numpy(np.frombuffer(run.stdout, np.float32).copy())
