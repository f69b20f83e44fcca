"""Waveform -> spectrogram: the two front ends of the methods, and the constants that normalise their values.

The constants of both are buffers, so that they follow the model to any device. Both compute frames ``start`` to
``stop`` of a clip alone, so that memory stays bounded for a recording of an hour. The clip may be on another device
than the module: only the samples needed are copied. Features are float32 at any precision, because a waveform rounded
to bf16 before the logarithm would lose its quiet bands.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .tables import hann, table


class Normalisation(NamedTuple):
    """Mean and standard deviation of a front end's values over a training corpus."""

    mean: float
    std: float


LOG_MEL = Normalisation(-7.1, 4.2)  # AudioSet, MSM-MAE's paper
FILTER_BANK = Normalisation(-4.2677393, 4.5689974)  # AudioSet, AST's code; AST, ASiT and MAST divide by twice the std
FLOAT32_EPSILON = torch.finfo(torch.float32).eps


class FrontEnd(nn.Module):
    """Frames of 25 ms each 10 ms, a windowed power spectrum, a mel filter bank, a natural logarithm."""

    window: Tensor
    filters: Tensor
    origin: int  # the sample that frame 0 is centred on
    reach: tuple[int, int]  # samples before ``k * hop``, and from it on, that frame k needs

    def __init__(self, sample_rate: int, bands: int, n_fft: int, window: Tensor, filters: Tensor) -> None:
        super().__init__()
        if sample_rate % 200:
            raise ValueError(f"sample_rate must be a multiple of 200 Hz for exact 10-ms frames, got {sample_rate}")
        self.sample_rate = sample_rate
        self.bands = bands
        self.n_fft = n_fft
        self.length = sample_rate // 40  # samples under one window
        self.hop = sample_rate // 100  # samples from one frame to the next
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)

    def _mel(self, frames: Tensor) -> Tensor:
        """Windowed frames (..., length) -> mel energies (..., bands)."""
        spectrum = torch.fft.rfft(frames * self.window, n=self.n_fft)
        return torch.view_as_real(spectrum).square().sum(-1) @ self.filters


class LogMel(FrontEnd):
    """MSM-MAE's log-mel (section 3.1): centred frames with reflected edges, Slaney mel, log(energy + eps).

    Frame k is centred on sample ``k * hop``; a clip of n samples has ``n // hop + 1`` frames.
    """

    def __init__(self, sample_rate: int = 16000, bands: int = 80, low: float = 50.0) -> None:
        n_fft = sample_rate // 40
        window = hann(n_fft, dtype=torch.float64)
        super().__init__(sample_rate, bands, n_fft, window, slaney_filters(sample_rate, n_fft, bands, low))
        self.origin = 0
        self.reach = self.length, self.length // 2  # before: half would do, but the end of a clip is reflected

    def count(self, samples: int) -> int:
        """Frames in a clip of this many samples."""
        return samples // self.hop + 1

    def forward(self, audio: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Waveforms (batch, samples) -> frames start..stop of their log-mel, (batch, frames, bands)."""
        stop = self.count(audio.shape[-1]) if stop is None else stop
        half = self.length // 2
        if audio.shape[-1] <= half:  # too short to reflect: silence follows
            audio = nn.functional.pad(audio, (0, half + 1 - audio.shape[-1]))
        last = audio.shape[-1] - 1
        samples = torch.arange(start * self.hop - half, (stop - 1) * self.hop + half, device=audio.device)
        samples = last - (last - samples.abs()).abs()  # reflect at both ends
        frames = audio[:, samples].to(self.window.device).unfold(-1, self.length, self.hop)
        return torch.log(self._mel(frames) + FLOAT32_EPSILON)


class KaldiFilterBank(FrontEnd):
    """Kaldi's filter bank as AST, ASiT and MAST call it: HTK mel, Hann window, no dither, edges snipped.

    Frame k covers the samples ``k * hop`` to ``k * hop + length``. A clip shorter than one frame is zero-padded to one.
    A method that removes the mean of the whole clip does so before; this module sees parts of clips.
    """

    def __init__(
        self, sample_rate: int = 16000, bands: int = 128, low: float = 20.0, preemphasis: float = 0.97
    ) -> None:
        length = sample_rate // 40
        n_fft = 1 << (length - 1).bit_length()
        window = hann(length, periodic=False)
        super().__init__(sample_rate, bands, n_fft, window, kaldi_filters(sample_rate, n_fft, bands, low))
        self.origin = length // 2
        self.reach = 0, length
        self.preemphasis = preemphasis

    def count(self, samples: int) -> int:
        """Frames in a clip of this many samples."""
        return max(1, 1 + (samples - self.length) // self.hop)

    def forward(self, audio: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Waveforms (batch, samples) -> frames start..stop of their filter bank, (batch, frames, bands)."""
        stop = self.count(audio.shape[-1]) if stop is None else stop
        if audio.shape[-1] < self.length:
            audio = nn.functional.pad(audio, (0, self.length - audio.shape[-1]))
        audio = audio[:, start * self.hop : (stop - 1) * self.hop + self.length]
        frames = audio.to(self.window.device).unfold(-1, self.length, self.hop)
        frames = frames - frames.mean(-1, keepdim=True)
        delayed = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        return torch.log(self._mel(frames - self.preemphasis * delayed).clamp(min=FLOAT32_EPSILON))


@table(lambda sample_rate, n_fft, bands, low: (n_fft // 2 + 1, bands))
def slaney_filters(sample_rate: int, n_fft: int, bands: int, low: float) -> Tensor:
    """Triangles on Slaney's scale (linear to 1 kHz, logarithmic above), each of unit area: (bins, bands), float64."""
    knee, step = 15.0, math.log(6.4) / 27.0  # the mel of 1 kHz, and the log step above it

    def to_mel(hertz: float) -> float:
        return knee + math.log(hertz / 1000.0) / step if hertz >= 1000.0 else hertz * 0.015

    mels = torch.linspace(to_mel(low), to_mel(sample_rate / 2), bands + 2, dtype=torch.float64)
    edges = torch.where(mels < knee, mels / 0.015, 1000.0 * torch.exp((mels - knee) * step))
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    return _triangles(bins, edges) * (2.0 / (edges[2:] - edges[:-2]))


@table(lambda sample_rate, n_fft, bands, low: (n_fft // 2 + 1, bands))
def kaldi_filters(sample_rate: int, n_fft: int, bands: int, low: float) -> Tensor:
    """Triangles on the HTK scale, straight in mel rather than in hertz, of unit height: (bins, bands).

    As in Kaldi the Nyquist bin belongs to no filter. Kept in float32, and in Kaldi's order of operations, since the
    quiet bands beside a loud pure tone repeat every rounding of the weights.
    """

    def to_mel(hertz: float) -> float:
        return 1127.0 * math.log(1.0 + hertz / 700.0)

    first = to_mel(low)
    step = (to_mel(sample_rate / 2) - first) / (bands + 1)
    edges = first + torch.arange(bands + 2) * step
    bins = 1127.0 * (1.0 + torch.arange(n_fft // 2 + 1) * (sample_rate / n_fft) / 700.0).log()
    filters = _triangles(bins, edges)
    filters[-1] = 0.0
    return filters


def _triangles(bins: Tensor, edges: Tensor) -> Tensor:
    """Unit triangles over each three neighbouring edges, sampled at the bins: (bins, bands)."""
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - low) / (middle - low)
    falling = (high - bins[:, None]) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0.0)
