"""Files -> waveforms: any format that soundfile reads, any rate, any channels; mono float32 at the model's rate.

A file is read, mixed down and resampled block by block, so that memory is bounded beside the mono waveform itself.
"""

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

BLOCK = 1 << 20  # values of one block, over all channels
QUALITY = "VHQ"  # libsoxr's best: 28 bits, pass band up to 0.913 of the lower Nyquist frequency
RATES = (1000, 10_000_000)  # Hz, lowest and highest; a header with another rate is damaged
MISSING_SECONDS = 0.01  # missing audio up to which a file counts as complete
UNKNOWN_LENGTH = 0xFFFF0000  # bytes; from here on a header, written to a pipe, means that the length is unknown
# Lengths in libsndfile's log: WAV, AU, AIFF, W64, RF64
PROMISE = re.compile(r"^ *(data|Data Size|SSND|riff|Riff size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
EXTENSIONS = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".aif",
    ".aifc",
    ".oga",
    ".opus",
    ".mp3",
    ".sph",
}
EXTENSIONS -= {".raw"}  # has no header, and so no rate


class AudioError(ValueError):
    """A file that cannot be turned into a waveform; the message names it and says why."""


class TruncatedAudioWarning(UserWarning):
    """A file that holds less audio than its header says."""


def read(path: str | Path, sample_rate: int) -> Tensor:
    """A file's waveform, channels averaged, at the given rate: (samples,), float32."""
    samples = bytearray()  # grows in place: joining a list of blocks would hold the waveform twice
    for block in read_blocks(path, sample_rate):
        samples += block.data.cast("B")
    if not samples:
        raise AudioError(f"{path}: holds no samples")
    audio = torch.frombuffer(samples, dtype=torch.float32)
    if not bool(torch.isfinite(audio.sum())):
        raise AudioError(f"{path}: holds NaN or infinite samples")
    return audio


def read_blocks(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """The waveform of ``read`` in blocks of any lengths, (samples,), float32, in bounded memory."""
    if Path(path).is_dir():
        raise AudioError(f"{path}: is a folder, not a file")
    if not Path(path).exists():
        raise AudioError(f"{path}: no such file")
    try:
        with soundfile.SoundFile(str(path)) as file:
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise AudioError(f"{path}: claims a rate of {file.samplerate} Hz; from {RATES[0]} to {RATES[1]} can be")
            resampler = Resampler(file.samplerate, sample_rate)
            for block in _blocks(file):
                yield resampler(block)
            yield resampler.finish()
            _warn_if_truncated(path, file, resampler.samples)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {getattr(error, 'error_string', error)}") from error


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Mono blocks of a file. Not ``file.blocks``, which hands out uninitialised memory when a header promises more."""
    frames = max(1, BLOCK // file.channels)
    while len(block := file.read(frames, dtype="float32", always_2d=True)):
        yield block[:, 0] if file.channels == 1 else block.mean(axis=1)


def _warn_if_truncated(path: str | Path, file: soundfile.SoundFile, samples: int) -> None:
    """Warns of a file that is shorter than its header says, which libsndfile reports in its log alone."""
    missing = (file.frames - samples) / file.samplerate
    for _, promised, present in PROMISE.findall(file.extra_info):
        if int(promised) < UNKNOWN_LENGTH and int(present):
            missing = max(missing, (int(promised) / int(present) - 1) * samples / file.samplerate)
    if missing > MISSING_SECONDS:
        warnings.warn(
            f"{path} is truncated: {missing:.3g} s that its header promises are missing",
            TruncatedAudioWarning,
            stacklevel=2,
        )


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
