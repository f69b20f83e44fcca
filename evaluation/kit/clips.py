"""Checks of clips from HEAR's archives and of converted clips, and their writer."""

from pathlib import Path

import numpy as np
import soundfile

from hear_audioformer.files import atomic_write

SOURCE = 48000  # Hz of the archives
TOLERANCE = 0.01  # seconds between a clip's and its task's duration that cutting or padding corrects


def source_fault(source: Path) -> str:
    """A source file's fault according to its header; empty for a good one."""
    with open(source, "rb") as file:
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
    missing = size + 8 - source.stat().st_size
    if kind == b"RIFF" and size != 0xFFFFFFFF and missing > 0:  # all ones: unknown size
        return f"is cut short by {missing} bytes"
    rate = soundfile.info(str(source)).samplerate
    return "" if rate == SOURCE else f"is at {rate} Hz, not {SOURCE}"


def clip_fault(path: Path, rate: int, seconds: float | None) -> str:
    """A converted clip's fault; empty for a good one. Corrects a length that is off by a few samples."""
    if not path.is_file():
        return "is missing"
    info = soundfile.info(str(path))
    if (info.samplerate, info.channels, info.subtype) != (rate, 1, "PCM_16"):
        return f"is {info.subtype} with {info.channels} channels at {info.samplerate} Hz: remove {path}"
    if seconds is None:
        return ""
    if abs(info.frames / rate - seconds) > TOLERANCE:
        return f"lasts {info.frames / rate:.3f} s, not {seconds} s"
    length = -(-round(seconds * SOURCE) * rate // SOURCE)
    if info.frames != length:
        pcm, _ = soundfile.read(str(path), dtype="int16")
        write(path, np.pad(pcm[:length], (0, max(0, length - len(pcm)))), rate)
    return ""


def write(path: Path, pcm: np.ndarray, rate: int) -> None:
    """Writes (samples,) int16 to a file that appears in one step."""
    with atomic_write(path) as temporary:
        soundfile.write(temporary, pcm, rate, subtype="PCM_16", format="WAV")
