"""Files -> waveforms: any format that soundfile reads, any rate, any channels; mono float32 at the model's rate.

A file is read, mixed down and resampled block by block, so that an hour of 48-kHz stereo never stands in memory whole.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import soundfile
import torch
from torch import Tensor
from torchaudio.functional import resample as torchaudio_resample

SECONDS = 30  # of a block
ZEROS = 64  # zero crossings of the resampling kernel on each side
EXTENSIONS = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".aif",
    ".aifc",
    ".oga",
    ".opus",
    ".mp3",
    ".sph",
}
EXTENSIONS -= {".raw"}  # headerless: nobody could tell its rate


class AudioError(ValueError):
    """A file that cannot be turned into a waveform; the message names it and says why."""


def read(path: str | Path, sample_rate: int) -> Tensor:
    """A file's waveform, channels averaged, at the given rate: (samples,), float32."""
    try:
        with soundfile.SoundFile(str(path)) as file:
            blocks = (
                torch.from_numpy(block).mean(dim=1)
                for block in file.blocks(SECONDS * file.samplerate, dtype="float32", always_2d=True)
            )
            audio = torch.cat(list(_resampled(blocks, file.samplerate, sample_rate)) or [torch.zeros(0)])
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {getattr(error, 'error_string', error)}") from error
    if not len(audio):
        raise AudioError(f"{path}: holds no samples")
    if not bool(torch.isfinite(audio.sum())):
        raise AudioError(f"{path}: holds NaN or infinite samples")
    return audio


def resample(audio: Tensor, old: int, new: int) -> Tensor:
    """Another rate for (..., samples), by a long Kaiser-windowed sinc: ceil(samples * new / old) samples."""
    if old == new:
        return audio
    return torchaudio_resample(
        audio, old, new, lowpass_filter_width=ZEROS, rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser", beta=14.769656459379492,
    )  # fmt: skip


def _resampled(blocks: Iterable[Tensor], old: int, new: int) -> Iterator[Tensor]:
    """Resamples a stream of blocks as if it were one waveform: each with the neighbourhood that its kernel reaches."""
    if old == new:
        yield from blocks
        return
    divisor = math.gcd(old, new)
    unit = old // divisor  # input samples after which the phase of the kernel repeats
    reach = unit * math.ceil((ZEROS * max(old, new) / new + 2) / unit)
    before = after = torch.zeros(0)
    for block in blocks:
        after = torch.cat([after, block])
        ready = (len(after) - reach) // unit * unit
        if ready > 0:
            yield _middle(before, after[: ready + reach], ready, old, new)
            before = torch.cat([before, after[:ready]])[-reach:]
            after = after[ready:]
    if len(after):
        yield _middle(before, after, len(after), old, new)


def _middle(before: Tensor, audio: Tensor, samples: int, old: int, new: int) -> Tensor:
    """The resampled first ``samples`` of ``audio``, which ``before`` precedes."""
    start = len(before) * new // old
    return resample(torch.cat([before, audio]), old, new)[start : start + math.ceil(samples * new / old)]


def find(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are given, and of folders all audio files below them, in order of name."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        else:
            found.append(path)
    return found
