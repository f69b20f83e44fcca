"""Hand-made statistics, 1 024 values without a network: what a model has to beat before its training is worth anything.

A scene holds two parts. The log-frequency spectrum has 36 bins an octave from 55 Hz to 7 kHz, of windows of 256 ms: the
logarithm of the mean power, and the deviation of the logarithm over time. The modulation statistics are of 40 log-mel
bands each 10 ms: how much each band changes at which pace, how it jumps from frame to frame, and how loud it is.
A timestamp, each 40 ms, is that of the log-mel baseline.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.embedder import Embedder
from hear_audioformer.features import LogMel

from .logmel import AROUND, HOP_MS, RATE, LogMelFrames
from .stack import constant

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

BINS_PER_OCTAVE, LOWEST, HIGHEST = 36, 55.0, 7000.0  # Hz
N_FFT, HOP = 4096, 1024
POWER_FLOOR = 1e-9  # of a full-scale sine
BANDS = 40
SMOOTHINGS = (1, 3, 6, 12, 25, 50, 100)  # frames of 10 ms
CHANGE_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEVEL_QUANTILE = 0.9
ENERGY_FLOOR = 1e-4  # of squared differences of log-mels


def log_frequency_filters() -> Tensor:
    """Triangles over the bins of a power spectrum, (N_FFT / 2 + 1, bins); none is narrower than two of those bins."""
    bins = int(BINS_PER_OCTAVE * torch.tensor(HIGHEST / LOWEST).log2()) + 1
    centres = LOWEST * 2 ** (torch.arange(bins, dtype=torch.float64) / BINS_PER_OCTAVE)
    half_width = (centres * (2 ** (1 / BINS_PER_OCTAVE) - 1)).clamp(min=RATE / N_FFT)
    frequencies = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * RATE / N_FFT
    filters = (1 - (frequencies[:, None] - centres).abs() / half_width).clamp(min=0)
    return (filters / filters.sum(0)).float()


class LogFrequency(nn.Module):
    """Waveforms (clips, samples) -> log of mean power, and deviation of log power, (clips, 2 * bins)."""

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(N_FFT, dtype=torch.float64)
        self.register_buffer("window", (window / (window.sum() / 2)).float())  # a full-scale sine has power 1
        self.register_buffer("filters", log_frequency_filters())

    def forward(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio, (N_FFT // 2, N_FFT // 2))
        powers = []
        for frames in padded.unfold(1, N_FFT, HOP).split(256, dim=1):  # bounds the memory of a long clip
            powers.append(torch.fft.rfft(frames * self.window).abs().square() @ self.filters + POWER_FLOOR)
        power = torch.cat(powers, dim=1)
        return torch.cat([power.mean(1).log(), power.log().std(1, correction=0)], dim=1)


class Modulation(nn.Module):
    """Waveforms (clips, samples) -> statistics of how their log-mel bands change, (clips, 13 * BANDS)."""

    def __init__(self) -> None:
        super().__init__()
        self.front = LogMel(RATE, BANDS)

    def forward(self, audio: Tensor) -> Tensor:
        bands = self.front(audio).mT  # (clips, bands, frames)
        smoothed = [_moving_average(bands, frames) for frames in SMOOTHINGS]
        energies = [(fine - coarse).square().mean(2) for fine, coarse in pairwise(smoothed)]
        change = bands.diff(dim=2) if bands.shape[2] > 1 else torch.zeros_like(bands)
        return torch.cat(
            [
                *((energy + ENERGY_FLOOR).log() for energy in energies),
                smoothed[-1].std(2, correction=0),
                *(_quantile(change, share) for share in CHANGE_QUANTILES),
                _quantile(bands, LEVEL_QUANTILE),
            ],
            dim=1,
        )


def _moving_average(bands: Tensor, frames: int) -> Tensor:
    """The mean of the frames around each frame, as far as the clip holds them, (clips, bands, frames)."""
    before, after = (frames - 1) // 2, frames // 2
    sums = F.pad(bands.double().cumsum(2), (1, 0))
    frame = torch.arange(bands.shape[2], device=bands.device)
    first, last = (frame - before).clamp(min=0), (frame + after + 1).clamp(max=bands.shape[2])
    return ((sums[:, :, last] - sums[:, :, first]) / (last - first)).float()


def _quantile(values: Tensor, share: float) -> Tensor:
    """A quantile over the last axis, of any length: torch's own refuses long ones."""
    rank = share * (values.shape[-1] - 1)
    ordered = values.sort(dim=-1).values
    low, high = ordered[..., int(rank)], ordered[..., min(int(rank) + 1, values.shape[-1] - 1)]
    return low + (rank - int(rank)) * (high - low)


class Handmade(nn.Module):
    """Both parts side by side for scenes; the log-mel baseline's frames for timestamps."""

    def __init__(self) -> None:
        super().__init__()
        self.device = constant(0.0)  # says where the model is
        self.spectrum, self.modulation = LogFrequency(), Modulation()
        self.times = Embedder(LogMelFrames(AROUND), hop_ms=HOP_MS, precision="fp32")
        self.sample_rate = RATE
        self.scene_embedding_size = 2 * self.spectrum.filters.shape[1] + (len(SMOOTHINGS) + 6) * BANDS
        self.timestamp_embedding_size = self.times.timestamp_embedding_size

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms (clips, samples) -> (clips, scene_embedding_size), on the device that the audio is on."""
        if not bool(torch.isfinite(audio).all()):
            raise ValueError("a clip holds NaN or infinite samples")
        clips = audio.to(self.device.device, torch.float32).split(1)  # one by one: no clip depends on its neighbours
        vectors = [torch.cat([self.spectrum(clip), self.modulation(clip)], dim=1) for clip in clips]
        return torch.cat(vectors or [torch.zeros(0, self.scene_embedding_size)]).to(audio.device)


def get_scene_embeddings(audio: Tensor, model: Handmade) -> Tensor:
    """HEAR: (n_sounds, model.scene_embedding_size)."""
    return model(audio)


def get_timestamp_embeddings(audio: Tensor, model: Handmade) -> tuple[Tensor, Tensor]:
    """HEAR: (n_sounds, n_timestamps, model.timestamp_embedding_size), and centres in ms, (n_sounds, n_timestamps)."""
    return model.times.timestamps(audio)


def load_model(source: str = "") -> Handmade:
    """HEAR: the baseline; it has no weights, so any ``source`` will do."""
    return Handmade().eval()
