"""Encoders on log-mel values of 25 ms in the middle of each hop: principal directions, or a small learnt network.

Silence surrounds every clip, so that more of it behind a clip changes no code. Neither encoder pads its frames: what a
latent depends on is the same in a clip, in a block of it and in a stream.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..features import kaldi_filters
from ..tables import hann, table

WINDOW_MS = 25
FLOOR = 1e-4  # added under the logarithm, 74 dB below a full sine
CENTRE, SPREAD = -6.5, 2.0  # of log-mel values of the open corpus, about
BINS = 1024  # samples that a window is filled up to, so that every band has a bin


@table(lambda length: (length,))
def unit_window(length: int) -> Tensor:
    """Hann's window of unit sum, (length,)."""
    window = hann(length)
    return window / window.sum()


class MelFrames(nn.Module):
    """Waveforms (batch, samples), whole hops -> log-mel values (batch, around + frames + around, bands).

    Args:
        around: frames before and behind those of the clip, which hear it fade into silence.
    """

    shape: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, hop: int, bands: int, around: int) -> None:
        super().__init__()
        self.hop, self.around = hop, around
        self.length = sample_rate * WINDOW_MS // 1000
        self.register_buffer("shape", unit_window(self.length), persistent=False)
        self.register_buffer("filters", kaldi_filters(sample_rate, BINS, bands, 20.0), persistent=False)

    def log_mel(self, audio: Tensor) -> Tensor:
        """Waveforms (batch, samples) -> (batch, around + frames + around, bands), with silence on both sides."""
        before = self.around * self.hop + (self.length - self.hop) // 2
        after = self.around * self.hop + self.length - self.hop - (self.length - self.hop) // 2
        frames = F.pad(audio, (before, after)).unfold(-1, self.length, self.hop)
        spectrum = torch.fft.rfft(frames * self.shape, BINS)
        return (torch.view_as_real(spectrum).square().sum(-1).sqrt() @ self.filters + FLOOR).log()


class MelStack(MelFrames):
    """Frames stacked with their neighbours, on the principal directions of such stacks; it is fitted, not trained.

    Waveforms (batch, 1, samples), whole hops -> (batch, latent, frames).

    Attributes:
        mean: of the log-mel values, (bands,).
        directions: stacks of frames, earliest first, less the mean -> latents, (stacked * bands, latent).
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, sample_rate: int, hop: int, bands: int, around: int, latent: int) -> None:
        super().__init__(sample_rate, hop, bands, around)
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("directions", torch.zeros((2 * around + 1) * bands, latent))

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


class MelNetwork(MelFrames):
    """A convolutional network over frames, (batch, 1, samples), whole hops -> (batch, latent, frames).

    Its reach is one frame and the sum of the dilations on each side.
    """

    def __init__(
        self, sample_rate: int, hop: int, bands: int, width: int, dilations: Sequence[int], latent: int
    ) -> None:
        super().__init__(sample_rate, hop, bands, 1 + sum(dilations))
        self.first = nn.Linear(3 * bands, width)
        self.blocks = nn.ModuleList(Neighbours(width, dilation) for dilation in dilations)
        self.last = nn.Linear(width, latent)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(scaled(self.log_mel(x[:, 0])))

    def network(self, values: Tensor) -> Tensor:
        """Scaled log-mel values (batch, around + frames + around, bands) -> (batch, latent, frames)."""
        states = self.first(neighbours(values, 1))
        for block in self.blocks:
            states = block(states)
        return self.last(F.gelu(states)).mT


class Neighbours(nn.Module):
    """A residual block of each frame and two that are ``dilation`` away.

    (batch, frames, width) -> the same without ``dilation`` frames on each side. Frames are normalised one by one: a
    mean over a clip would tie every code to all of the clip.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(3 * width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        near = neighbours(self.norm(x), self.dilation)
        return x.narrow(1, self.dilation, near.shape[1]) + self.out(F.gelu(self.mix(near)))


def neighbours(x: Tensor, step: int) -> Tensor:
    """Frames beside those ``step`` before and behind, (batch, frames, width) -> (batch, frames - 2 step, 3 width)."""
    frames = x.shape[1] - 2 * step
    return torch.cat([x.narrow(1, start, frames) for start in (0, step, 2 * step)], dim=-1)


def scaled(values: Tensor) -> Tensor:
    """Log-mel values of sound, brought to about zero mean and unit deviation."""
    return (values - CENTRE) / SPREAD
