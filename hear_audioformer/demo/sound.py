"""Sounds of visitors, which have limits, and stretches of recordings for players."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from .. import audio
from ..bulk.opening import open_source
from ..bulk.sources import Source
from ..errors import AudioError
from ..table import Place

PLAYED = 10.0  # seconds of a recording that a player holds at most
AROUND = 3.0  # seconds around a frame


@dataclass(frozen=True)
class Limits:
    """What the page takes.

    Attributes:
        minutes: of a sound.
        megabytes: of its file.
    """

    minutes: float = 10.0
    megabytes: float = 100.0

    @property
    def bytes(self) -> int:
        return round(self.megabytes * 1e6)

    def __str__(self) -> str:
        return f"up to {self.minutes:g} min and {self.megabytes:g} MB"


def checked(path: str | Path, limits: Limits) -> float:
    """The length of a sound in seconds. Refuses what is too large before it is decoded."""
    path = Path(path)
    size = path.stat().st_size if path.is_file() else 0
    if size > limits.bytes:
        raise AudioError(f"{path.name}: is too large, {size / 1e6:.1f} MB; the page takes {limits} (--max-mb)")
    with audio.Reading(path) as reading:
        seconds = reading.seconds
    if seconds > 60 * limits.minutes:
        raise AudioError(
            f"{path.name}: is too long, {seconds / 60:.1f} min; the page takes {limits} (--max-minutes); cut it first"
        )
    return seconds


def stretch(place: Place, kind: str) -> tuple[float, float]:
    """Where a player of a row begins and how long it plays, in seconds."""
    if kind == "timestamps":
        return max(0.0, place.offset - AROUND / 2), AROUND
    return place.offset, min(place.seconds, PLAYED)


def flac(path: str, start: float, seconds: float) -> bytes:
    """A stretch of a recording as FLAC, channels averaged; any browser plays it."""
    try:
        with open_source(Source(path, 0, 0)) as opened, soundfile.SoundFile(opened) as file:
            rate = file.samplerate
            file.seek(min(round(start * rate), max(0, file.frames - 1)))
            block = file.read(max(1, round(seconds * rate)), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise AudioError(f"{path}: {getattr(error, 'error_string', error)}") from error
    target = io.BytesIO()
    soundfile.write(target, np.clip(block.mean(axis=1), -1, 1), rate, format="FLAC", subtype="PCM_16")
    return target.getvalue()
