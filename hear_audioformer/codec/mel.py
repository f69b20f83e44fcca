"""Log-mel values in place of a learnt encoder, for a codec that is fitted in minutes.

A latent is the projection of 64 log-mel values of 25 ms in the middle of a hop, stacked with those of the neighbouring
frames, on the principal directions of such stacks. Silence surrounds every clip.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import kaldi_filters
from ..tables import hann, table

WINDOW_MS = 25
FLOOR = 1e-4  # added under the logarithm, 74 dB below a full sine
BINS = 1024  # samples that a window is filled up to, so that every band has a bin


@table(lambda length: (length,))
def unit_window(length: int) -> Tensor:
    """Hann's window of unit sum, (length,)."""
    window = hann(length)
    return window / window.sum()


class MelStack(nn.Module):
    """Waveforms (batch, 1, samples), whole hops -> (batch, latent, frames).

    Attributes:
        mean: of the log-mel values, (bands,).
        directions: stacks of frames, earliest first, less the mean -> latents, (stacked * bands, latent).
    """

    mean: Tensor
    directions: Tensor
    shape: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, hop: int, bands: int, around: int, latent: int) -> None:
        super().__init__()
        self.hop, self.around = hop, around
        self.length = sample_rate * WINDOW_MS // 1000
        self.register_buffer("shape", unit_window(self.length), persistent=False)
        self.register_buffer("filters", kaldi_filters(sample_rate, BINS, bands, 20.0), persistent=False)
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("directions", torch.zeros((2 * around + 1) * bands, latent))

    def log_mel(self, audio: Tensor) -> Tensor:
        """Waveforms (batch, samples) -> (batch, around + frames + around, bands), with silence on both sides."""
        before = self.around * self.hop + (self.length - self.hop) // 2
        after = self.around * self.hop + self.length - self.hop - (self.length - self.hop) // 2
        frames = F.pad(audio, (before, after)).unfold(-1, self.length, self.hop)
        spectrum = torch.fft.rfft(frames * self.shape, BINS)
        return (torch.view_as_real(spectrum).square().sum(-1).sqrt() @ self.filters + FLOOR).log()

    def stacks(self, audio: Tensor) -> Tensor:
        """Waveforms (batch, samples) -> frames and neighbours, less the mean, (batch, frames, stacked * bands)."""
        values = self.log_mel(audio) - self.mean
        return values.unfold(1, 2 * self.around + 1, 1).transpose(2, 3).flatten(2)

    def forward(self, x: Tensor) -> Tensor:
        return (self.stacks(x[:, 0]) @ self.directions).mT

    def values(self, latents: Tensor) -> Tensor:
        """Latents (batch, latent, frames) -> log-mel values (batch, frames, bands), by least squares."""
        stacked = latents.mT @ torch.linalg.pinv(self.directions)
        bands = len(self.mean)
        return stacked[..., self.around * bands : (self.around + 1) * bands] + self.mean
