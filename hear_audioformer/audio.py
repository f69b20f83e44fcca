"""Files -> waveforms: any format that soundfile reads, any rate, any channels; mono float32 at the model's rate.

A file is read, mixed down and resampled block by block, so that memory is bounded beside the mono waveform itself.
"""

import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from .errors import AudioError
from .formats import EXTENSIONS, HEADERLESS
from .watched import Watched

BLOCK = 1 << 20  # values of one block, over all channels
QUALITY = "VHQ"  # libsoxr's best: 28 bits, pass band up to 0.913 of the lower Nyquist frequency
RATES = (1000, 10_000_000)  # Hz, lowest and highest; a header with another rate is damaged
MISSING_SECONDS = 0.01  # missing audio up to which a file counts as complete
UNKNOWN_LENGTH = 0xFFFF0000  # bytes; from here on a header, written to a pipe, means that the length is unknown
ENDLESS = 1 << 62  # frames; libsndfile's number for a length that it does not know is larger
# Lengths in libsndfile's log: WAV, AU, AIFF, W64, RF64
PROMISE = re.compile(r"^ *(data|Data Size|SSND|riff|Riff size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)


class TruncatedAudioWarning(UserWarning):
    """A file that holds less audio than its header says."""


def read(source: str | Path | BinaryIO, sample_rate: int) -> Tensor:
    """A file's waveform, channels averaged, at the given rate: (samples,), float32."""
    with Reading(source) as reading:
        waveform = reading.waveform(sample_rate)
        reading.warn()
        return waveform


def read_blocks(source: str | Path | BinaryIO, sample_rate: int) -> Iterator[np.ndarray]:
    """The waveform of ``read`` in blocks of any lengths, (samples,), float32, in bounded memory."""
    with Reading(source) as reading:
        yield from reading.blocks(sample_rate)
        reading.warn()


class Reading:
    """A file opened to be read once: what its header says, before its samples. A context manager.

    Args:
        source: a path, or a seekable binary file, whose ``name`` messages take.

    Attributes:
        name: of the file.
        sample_rate: its own, in Hz.
        channels: how many it has.
        frames: samples of each channel that its header promises, not always those that are there; 0 if unknown.
        missing: seconds that the header promises and that are not there, once all is read.
    """

    missing = 0.0

    def __init__(self, source: str | Path | BinaryIO) -> None:
        self.name = str(source if isinstance(source, str | Path) else getattr(source, "name", "the file"))
        self._watched: Watched | None = None
        opened: bytes | str | Watched
        if isinstance(source, str | Path):
            if Path(source).is_dir():
                raise AudioError(f"{source}: is a folder, not a file")
            if not Path(source).exists():
                raise AudioError(f"{source}: no such file")
            opened = str(source) if os.name == "nt" else os.fsencode(source)  # the name may be no UTF-8
        else:
            opened = self._watched = Watched(source)
        if self.name.lower().endswith(".raw"):
            raise AudioError(f"{self.name}: {HEADERLESS}")
        with self._faults():
            self._file = soundfile.SoundFile(opened)
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self.frames = self._file.frames if self._file.frames < ENDLESS else 0
        if not RATES[0] <= self.sample_rate <= RATES[1]:
            self._file.close()
            raise AudioError(
                f"{self.name}: claims a rate of {self.sample_rate} Hz; from {RATES[0]} to {RATES[1]} can be"
            )

    @property
    def seconds(self) -> float:
        """What the header promises; 0 if unknown."""
        return self.frames / self.sample_rate

    def blocks(self, sample_rate: int) -> Iterator[np.ndarray]:
        """The waveform, channels averaged, at the given rate in blocks of any lengths, (samples,), float32."""
        with self._faults():
            resampler = Resampler(self.sample_rate, sample_rate)
            for block in _blocks(self._file):
                yield resampler(block)
            yield resampler.finish()
        self.missing = _missing(self._file, resampler.samples)

    @property
    def truncation(self) -> str:
        """What is missing, in words; empty if all is there."""
        return f"is truncated: {self.missing:.3g} s that its header promises are missing" if self.missing else ""

    def warn(self) -> None:
        """Warns if something is missing."""
        if self.missing:
            warnings.warn(f"{self.name} {self.truncation}", TruncatedAudioWarning, stacklevel=3)

    def waveform(self, sample_rate: int) -> Tensor:
        """All blocks in one, (samples,). Raises ``AudioError`` for none and for NaN."""
        samples = bytearray()  # grows in place: joining a list of blocks would hold the waveform twice
        for block in self.blocks(sample_rate):
            samples += block.data.cast("B")
        if not samples:
            raise AudioError(f"{self.name}: holds no samples")
        audio = torch.frombuffer(samples, dtype=torch.float32)
        if not bool(torch.isfinite(audio.sum())):
            raise AudioError(f"{self.name}: holds NaN or infinite samples")
        return audio

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns what libsndfile and the file raise into an ``AudioError``."""
        try:
            yield
            fault = self._watched.fault if self._watched else None
        except (soundfile.LibsndfileError, OSError) as error:
            fault = (self._watched.fault if self._watched else None) or error
        if isinstance(fault, Exception):
            raise AudioError(f"{self.name}: {getattr(fault, 'error_string', fault)}") from fault
        if fault is not None:
            raise fault  # an interrupt


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Mono blocks of a file. Not ``file.blocks``, which hands out uninitialised memory when a header promises more."""
    frames = max(1, BLOCK // file.channels)
    while len(block := file.read(frames, dtype="float32", always_2d=True)):
        yield block[:, 0] if file.channels == 1 else block.mean(axis=1)


def _missing(file: soundfile.SoundFile, samples: int) -> float:
    """Seconds by which a file is shorter than its header says, which libsndfile reports in its log alone."""
    missing = (file.frames - samples) / file.samplerate
    for _, promised, present in PROMISE.findall(file.extra_info):
        if int(promised) < UNKNOWN_LENGTH and int(present):
            missing = max(missing, (int(promised) / int(present) - 1) * samples / file.samplerate)
    return missing if missing > MISSING_SECONDS else 0.0


class Resampler:
    """Resamples a stream of mono blocks as if it were one waveform.

    Attributes:
        samples: number of samples taken in.
        made: number of samples given out; in the end ceil(samples * new / old).
    """

    def __init__(self, old: int, new: int) -> None:
        self.old, self.new = old, new
        self.samples = self.made = 0
        self._stream = None if old == new else soxr.ResampleStream(old, new, 1, dtype="float32", quality=QUALITY)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The resampled samples that one more block completes, (samples,)."""
        self.samples += len(block)
        return self._counted(block if self._stream is None else self._stream.resample_chunk(block))

    def finish(self) -> np.ndarray:
        """The remaining samples, after the last block."""
        if self._stream is None or not self.samples:
            return np.zeros(0, np.float32)
        silence = np.zeros(_tail(self.old, self.new), np.float32)
        return self._counted(self._stream.resample_chunk(silence, last=True))

    def _counted(self, block: np.ndarray) -> np.ndarray:
        block = np.ascontiguousarray(block[: _resampled_length(self.samples, self.old, self.new) - self.made])
        self.made += len(block)
        return block


def resample(audio: Tensor, old: int, new: int) -> Tensor:
    """Another rate for (..., samples): ceil(samples * new / old) samples, float32, on the same device."""
    if not audio.is_floating_point():
        raise TypeError(f"samples are {audio.dtype}: scale them to floats in [-1, 1] first, int16 as audio / 32768")
    if old == new or not audio.numel():
        return audio.float()
    rows = audio.detach().float().cpu().reshape(-1, audio.shape[-1])
    length, tail = _resampled_length(audio.shape[-1], old, new), _tail(old, new)
    out = np.empty((len(rows), length), np.float32)
    for row, samples in zip(out, rows.numpy(), strict=True):
        row[:] = soxr.resample(np.pad(samples, (0, tail)), old, new, quality=QUALITY)[:length]
    return torch.from_numpy(out).reshape(*audio.shape[:-1], length).to(audio.device)


def checked_rate(sample_rate: float) -> int:
    """A sampling rate that a user passes, in Hz."""
    low, high = RATES
    if not isinstance(sample_rate, (int, float, np.number)) or sample_rate % 1 or not low <= sample_rate <= high:
        raise ValueError(f"sample_rate={sample_rate!r} is not a whole number of Hz from {low} to {high}")
    return int(sample_rate)


def _resampled_length(samples: int, old: int, new: int) -> int:
    return -(-samples * new // old)


def _tail(old: int, new: int) -> int:
    """Zeros to append to a waveform: libsoxr rounds the number of samples, and would drop the last one."""
    return math.ceil(2 * old / new) + 1


def find(paths: Iterable[str | Path]) -> list[Path]:
    """The given files, and all audio files below the given folders, in order of name."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        else:
            files.append(path)
    return files
