"""Waveform -> discrete codes: EnCodec's encoder and residual quantiser, and smaller codecs that need no GPU to train.

Défossez et al., "High Fidelity Neural Audio Compression" (arXiv 2210.13438). There is no decoder here: embeddings need
none. Codes are computed in float32 at any precision of the model, because a rounding error can change a code.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..encoder import Network
from ..fields import check
from .layers import Conv, Recurrent, Residual
from .mel import MelNetwork, MelStack
from .quantiser import Quantiser

__all__ = ["COMPACT_16K", "ENCODEC_24KHZ", "MELNET_16K", "MEL_16K", "PRESETS", "Codec", "Config", "build"]

METHOD = "codec"
OPTIONS: tuple[str, ...] = ()
Front = Literal["waveform", "mel", "mel-network"]
BLOCK_SECONDS = 30  # of a long recording are encoded at a time


@dataclass(frozen=True)
class Config:
    """Everything that makes one codec's encoder.

    Attributes:
        sample_rate: Hz.
        filters: channels of the first layer; every stride doubles them. The width of a network on log-mel values.
        ratios: strides, first to last.
        latent: width of a frame before quantisation.
        lstm: recurrent layers after the last stride.
        dilations: of residual blocks there.
        codebooks, codes: the residual quantiser: how many tables, of how many vectors.
        context: seconds before a block of a long recording that are encoded with it and dropped. A convolution's reach
            is shorter than the default; an LSTM has no such limit.
        front: what the network hears. "waveform"; "mel-network" for log-mel values; "mel" for log-mel values and no
            network. On log-mel values lstm is not used, and ratios give the hop alone.
        bands, around: log-mel bands of a frame, and neighbouring frames on each side that are stacked with it where
            there is no network.
    """

    sample_rate: int = 16000
    filters: int = 16
    ratios: tuple[int, ...] = (2, 4, 5, 8)
    latent: int = 64
    lstm: int = 0
    dilations: tuple[int, ...] = (1, 3)
    codebooks: int = 8
    codes: int = 1024
    context: float = 1.0
    front: Front = "waveform"
    bands: int = 64
    around: int = 2

    def __post_init__(self) -> None:
        whole = ("sample_rate", "filters", "ratios", "latent", "dilations", "codebooks", "codes", "bands")
        check(self, positive=whole, deep=("codebooks", "lstm", "around"))
        if self.context < 0:
            raise ValueError(f"context={self.context}: seconds cannot be negative")
        back = self.ahead * self.hop / self.sample_rate
        if self.front == "mel-network" and self.context < back:
            raise ValueError(f"context={self.context}: a code hears {back:g} s back; give no less")
        object.__setattr__(self, "ratios", tuple(self.ratios))
        object.__setattr__(self, "dilations", tuple(self.dilations))

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """The configuration of a codec known by name ("compact_16k", "encodec_24khz"), with changes."""
        return replace(PRESETS[size], **changes)

    @property
    def hop(self) -> int:
        """Samples of one frame."""
        return prod(self.ratios)

    @property
    def ahead(self) -> int:
        """Frames after a block that its own need."""
        if self.front == "mel-network":
            return 2 + sum(self.dilations)
        return self.around + 1 if self.front == "mel" else 0


COMPACT_16K = Config()
MEL_16K = Config(front="mel")
MELNET_16K = Config(front="mel-network", filters=192, latent=24, dilations=(1, 2, 4, 8))
ENCODEC_24KHZ = Config(sample_rate=24000, filters=32, latent=128, lstm=2, dilations=(), codebooks=32)
PRESETS = {"compact_16k": COMPACT_16K, "encodec_24khz": ENCODEC_24KHZ, "mel_16k": MEL_16K, "melnet_16k": MELNET_16K}
SIZES = PRESETS


class Stack(nn.Module):
    """Waveforms (batch, 1, samples) -> latents (batch, latent, frames)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.filters
        layers: list[nn.Module] = [Conv(1, channels, 7)]
        for ratio in config.ratios:
            layers += [Residual(channels), nn.ELU(), Conv(channels, 2 * channels, 2 * ratio, stride=ratio)]
            channels *= 2
        layers += [Recurrent(channels, config.lstm)] if config.lstm else []
        layers += [Residual(channels, dilation) for dilation in config.dilations]
        layers += [nn.ELU(), Conv(channels, config.latent, 7)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def encoder_of(config: Config) -> Stack | MelStack | MelNetwork:
    """What makes latents of waveforms (batch, 1, samples)."""
    heard = config.sample_rate, config.hop, config.bands
    if config.front == "mel":
        return MelStack(*heard, config.around, config.latent)
    if config.front == "mel-network":
        return MelNetwork(*heard, config.filters, config.dilations, config.latent)
    return Stack(config)


class Codec(Network):
    """A codec without its decoder.

    Attributes:
        centre, scale: mean and standard deviation of each dimension of the latents, which are normalised by them before
            quantisation; learnt with the codec, 0 and 1 in EnCodec.
    """

    config: Config
    centre: Tensor
    scale: Tensor
    exact = ("quantizer.", "centre", "scale", "encoder.mean", "encoder.directions")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder_of(config)
        self.quantizer = Quantiser(config.codebooks, config.codes, config.latent)
        self.register_buffer("centre", torch.zeros(config.latent))
        self.register_buffer("scale", torch.ones(config.latent))

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def hop(self) -> int:
        """Samples of one frame."""
        return self.config.hop

    @property
    def reach(self) -> int:
        """Samples from the beginning of a frame on that its code depends on."""
        return self.hop * (1 + self.config.ahead)

    @property
    def block_frames(self) -> int:
        """Frames of a long recording that are encoded at a time."""
        return BLOCK_SECONDS * self.sample_rate // self.hop

    @property
    def context_frames(self) -> int:
        """Frames before a block that are encoded with it and dropped."""
        return -(-int(self.config.context * self.sample_rate) // self.hop)

    def count(self, samples: int) -> int:
        """Frames of a clip; the last may be partly padded."""
        return max(1, -(-samples // self.hop))

    def latents(self, audio: Tensor) -> Tensor:
        """Waveforms (batch, samples), padded with silence to whole frames -> (batch, latent, frames)."""
        padded = F.pad(audio, (0, self.count(audio.shape[1]) * self.hop - audio.shape[1]))
        return self.normalise(self.encoder(padded[:, None]))

    def normalise(self, latents: Tensor) -> Tensor:
        """Latents normalised for the quantiser, (batch, latent, frames)."""
        return (latents - self.centre[:, None]) / self.scale[:, None]

    @torch.no_grad()
    def forward(self, audio: Tensor, count: int | None = None) -> Tensor:
        """Waveforms (batch, samples) -> codes of the first ``count`` codebooks, (batch, count, frames), int64.

        Clips are encoded one by one, and long clips in blocks at fixed positions. In a batch, products may be summed in
        another order, a near tie may turn, and so a code could depend on the other clips. The audio may be on another
        device than the codec: one block at a time is copied.
        """
        if audio.ndim != 2 or not audio.shape[1]:
            raise ValueError(f"audio must be (clips, samples) with at least one sample, got {tuple(audio.shape)}")
        if not len(audio):
            shape = (0, count or self.config.codebooks, self.count(audio.shape[1]))
            return torch.zeros(shape, dtype=torch.int64, device=self.scale.device)
        return torch.cat([torch.cat(list(self._blocks(clip[None].float(), count)), dim=-1) for clip in audio])

    def _blocks(self, clip: Tensor, count: int | None) -> Iterator[Tensor]:
        frames = self.block_frames
        for first in range(0, self.count(clip.shape[1]), frames):
            before = min(first, self.context_frames)
            part = clip[:, (first - before) * self.hop : (first + frames + self.config.ahead) * self.hop]
            yield self.block(part, before, frames, count)

    @torch.no_grad()
    def block(self, part: Tensor, before: int, frames: int, count: int | None = None) -> Tensor:
        """Codes of at most ``frames`` frames, behind ``before`` frames of context, (batch, count, frames)."""
        with _full_precision(self.scale.device):
            latents = self.latents(part.to(self.scale.device))[..., before : before + frames]
            return self.quantizer.encode(latents, count)

    def first(self, count: int) -> "Codec":
        """The same codec with its first ``count`` codebooks only."""
        if not 0 < count <= self.config.codebooks:
            raise ValueError(f"this codec has {self.config.codebooks} codebooks, {count} were asked for")
        fewer = Codec(replace(self.config, codebooks=count))
        state = self.state_dict()
        fewer.load_state_dict({name: state[name] for name in fewer.state_dict()})
        return fewer.train(self.training)

    def codebook_hash(self) -> str:
        """A sha256 of the codebooks: codes of codecs that differ in it mean different things."""
        digest = hashlib.sha256()
        for codebook in self.quantizer.codebooks:
            digest.update(codebook.embed.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def build(config: dict[str, Any]) -> Codec:
    """A codec with random weights and empty codebooks, from the fields of a ``Config``."""
    return Codec(Config(**config))


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Without autocast and without TF32, which convolutions on CUDA use by default."""
    allowed = torch.backends.cudnn.allow_tf32
    autocast = torch.amp.is_autocast_available(device.type)
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False) if autocast else nullcontext():
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
