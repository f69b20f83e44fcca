"""Files -> waveforms: any format that soundfile reads, any rate, any channels; mono float32 at the model's rate.

A file is read, mixed down and resampled block by block, so that an hour of 48-kHz stereo never stands in memory whole.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import soundfile
import torch
from torch import Tensor, nn
from torchaudio.transforms import Resample

SECONDS = 30  # of a block
ZEROS = 64  # zero crossings of the resampling kernel on each side
ROLLOFF, BETA = 0.9475937167399596, 14.769656459379492  # its cutoff and its Kaiser window: about 140 dB
PHASES = 640  # of the largest filter bank that is made; 11025 Hz to 16 kHz needs that many
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
            audio = torch.cat(list(_resampled(_blocks(file), file.samplerate, sample_rate)) or [torch.zeros(0)])
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {getattr(error, 'error_string', error)}") from error
    if not len(audio):
        raise AudioError(f"{path}: holds no samples")
    if not bool(torch.isfinite(audio.sum())):
        raise AudioError(f"{path}: holds NaN or infinite samples")
    return audio


def _blocks(file: soundfile.SoundFile) -> Iterator[Tensor]:
    """Mono blocks of a file. Not ``file.blocks``, which hands out uninitialised memory when a header promises more."""
    while len(block := file.read(SECONDS * file.samplerate, dtype="float32", always_2d=True)):
        yield torch.from_numpy(block).mean(dim=1)


def resample(audio: Tensor, old: int, new: int) -> Tensor:
    """Another rate for (..., samples), by a long Kaiser-windowed sinc: ceil(samples * new / old) samples, float32."""
    if old == new:
        return audio.float()
    if new // math.gcd(old, new) > PHASES:
        return _resample_oddly(audio.float(), old, new)
    return _resampler(old, new, str(audio.device))(audio.float())


@functools.lru_cache(maxsize=16)
def _resampler(old: int, new: int, device: str) -> Resample:
    """The filter bank of one pair of rates, kept: making it takes longer than resampling a short clip."""
    bank = Resample(
        old, new, lowpass_filter_width=ZEROS, rolloff=ROLLOFF, resampling_method="sinc_interp_kaiser", beta=BETA
    )
    return bank.to(device)


def _resample_oddly(audio: Tensor, old: int, new: int) -> Tensor:
    """The same filter for rates with hardly a common divisor, such as 22254 Hz: a bank for all their phases would take
    gigabytes, so the taps of each output sample are worked out on the spot."""
    cutoff = ROLLOFF * min(1.0, new / old)  # as a share of the old rate's Nyquist frequency
    width = math.ceil(ZEROS / cutoff)
    padded = nn.functional.pad(audio, (width, width + 1))
    taps = torch.arange(-width, width + 1, device=audio.device)
    out = []
    for places in torch.arange(math.ceil(audio.shape[-1] * new / old), device=audio.device).split(4096):
        whole, rest = places * old // new, (places * old % new).double() / new
        x = (taps - rest[:, None]) * cutoff
        window = torch.i0(BETA * (1 - (x / ZEROS).square()).clamp(min=0).sqrt()) * (x.abs() <= ZEROS)
        kernel = (cutoff * torch.sinc(x) * window / torch.i0(torch.tensor(BETA))).float()
        out.append((padded[..., whole[:, None] + taps + width] * kernel).sum(-1))
    return torch.cat(out, dim=-1)


def _resampled(blocks: Iterable[Tensor], old: int, new: int) -> Iterator[Tensor]:
    """Resamples a stream of blocks as if it were one waveform: each with the neighbourhood that its kernel reaches."""
    if old == new:
        yield from blocks
        return
    divisor = math.gcd(old, new)
    unit = old // divisor  # input samples after which the phase of the kernel repeats
    reach = unit * math.ceil((ZEROS / ROLLOFF * max(old, new) / new + 2) / unit)
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
