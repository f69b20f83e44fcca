"""Waveform -> features by matrix products of real numbers, for runtimes that know neither FFT nor complex numbers.

A twin gives the numbers of the module that it stands for, within float32 rounding, for a whole clip whose length the
tracer need not know. A power spectrum does not change when its frame is shifted. So the twins count time from the
middle of a frame: its even half meets cosines alone and its odd half sines alone, which halves the products of a plain
matrix.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..asit import Asit
from ..audioformer import Audioformer
from ..codec import Codec
from ..codec.layers import Conv
from ..codec.mel import FLOOR, MelNetwork, MelStack, scaled
from ..encoder import Encoder
from ..features import FLOAT32_EPSILON, KaldiFilterBank, LogMel
from ..view import evaluated
from .sizes import free, most, parts, whole


def exportable(encoder: Encoder) -> Encoder:
    """A view of an encoder in evaluation mode, with twins in place of the modules that make features."""
    view = evaluated(encoder)
    front = getattr(encoder, "front", None)
    if isinstance(view, Audioformer):
        view.codec = CodecTwin(encoder.codec)  # type: ignore[assignment, arg-type]
    elif isinstance(front, LogMel):
        view.front = LogMelTwin(front)
    elif isinstance(front, KaldiFilterBank):
        view.front = KaldiTwin(front)
    else:
        raise ValueError(f"a {type(encoder).__name__} has no front end that can be exported")
    if getattr(encoder.config, "normalisation", "fixed") != "fixed":
        raise ValueError('a model with normalisation="batch" is not exported: a vector would depend on its neighbours')
    return view


def whole_features(encoder: Encoder, audio: Tensor) -> Tensor:
    """Waveforms (batch, samples) -> normalised features of whole clips, (batch, feature frames, ...)."""
    if isinstance(encoder, Audioformer):
        return encoder.codec(audio, encoder.config.codebooks).mT.int()
    frames = encoder.count(audio.shape[1])
    if isinstance(encoder, Asit):  # as its ``features``, whose slices need the length
        mean = audio.mean(1, keepdim=True, dtype=torch.float64).float()
        return (encoder.front(audio - mean, 0, frames) - encoder.config.mean) / (2 * encoder.config.std)
    return encoder.features(audio, 0, frames, encoder.clip_context(audio))


def frames_of(audio: Tensor, starts: Tensor, length: int) -> Tensor:
    """Frames of ``length`` samples from each start on, (batch, samples) -> (batch, starts, length)."""
    return audio[:, starts[:, None] + torch.arange(length)]


class Power(nn.Module):
    """Frames (..., length) -> the power spectrum of the windowed frames, (..., n_fft // 2 + 1)."""

    shape: Tensor
    cosines: Tensor
    sines: Tensor

    def __init__(self, shape: Tensor, n_fft: int) -> None:
        super().__init__()
        if len(shape) % 2:
            raise ValueError(f"a frame of {len(shape)} samples has no middle between two of them")
        self.middle = len(shape) // 2
        time = torch.arange(self.middle, dtype=torch.float64) + 0.5
        angles = 2 * math.pi / n_fft * time[:, None] * torch.arange(n_fft // 2 + 1)
        self.register_buffer("shape", shape.float(), persistent=False)
        self.register_buffer("cosines", angles.cos().float(), persistent=False)
        self.register_buffer("sines", angles.sin().float(), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        frames = frames * self.shape
        earlier, later = frames[..., : self.middle].flip(-1), frames[..., self.middle :]
        return ((later + earlier) @ self.cosines).square() + ((later - earlier) @ self.sines).square()


class LogMelTwin(nn.Module):
    """``LogMel`` on whole clips."""

    filters: Tensor

    def __init__(self, front: LogMel) -> None:
        super().__init__()
        self.hop, self.length = front.hop, front.length
        self.power = Power(front.window, front.n_fft)
        self.register_buffer("filters", front.filters, persistent=False)

    def count(self, samples: int) -> int:
        """Frames in a clip of this many samples."""
        return free(samples // self.hop + 1, 1)

    def forward(self, audio: Tensor, start: int, stop: int) -> Tensor:
        """Waveforms (batch, samples) -> all ``stop`` frames, (batch, frames, bands)."""
        half = self.length // 2
        last = whole(most(audio.shape[1] - 1, half))  # behind a clip too short to reflect, silence follows
        samples = torch.arange(stop)[:, None] * self.hop - half + torch.arange(self.length)
        samples = last - (last - samples.abs()).abs()
        frames = nn.functional.pad(audio, (0, half + 1))[:, samples]
        return torch.log(self.power(frames) @ self.filters + FLOAT32_EPSILON)


class KaldiTwin(nn.Module):
    """``KaldiFilterBank`` on whole clips."""

    filters: Tensor

    def __init__(self, front: KaldiFilterBank) -> None:
        super().__init__()
        self.hop, self.length, self.preemphasis = front.hop, front.length, front.preemphasis
        self.power = Power(front.window, front.n_fft)
        self.register_buffer("filters", front.filters, persistent=False)

    def count(self, samples: int) -> int:
        """Frames in a clip of this many samples."""
        return free(1 + most(samples - self.length, 0) // self.hop, 1)

    def forward(self, audio: Tensor, start: int, stop: int) -> Tensor:
        """Waveforms (batch, samples) -> all ``stop`` frames, (batch, frames, bands)."""
        audio = nn.functional.pad(audio, (0, self.length))
        frames = frames_of(audio, torch.arange(stop) * self.hop, self.length)
        frames = frames - frames.mean(-1, keepdim=True)
        delayed = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        mel = self.power(frames - self.preemphasis * delayed) @ self.filters
        return torch.log(mel.clamp(min=FLOAT32_EPSILON))


class MelFramesTwin(nn.Module):
    """``MelStack`` or ``MelNetwork`` on whole clips, (batch, 1, samples) of whole hops -> (batch, latent, frames)."""

    def __init__(self, front: MelStack | MelNetwork) -> None:
        super().__init__()
        self.front = front
        self.power = Power(front.shape, 1024)

    def forward(self, audio: Tensor) -> Tensor:
        front = self.front
        frames = audio.shape[2] // front.hop
        values = self.log_mel(audio[:, 0], frames)
        if isinstance(front, MelNetwork):
            return front.network(scaled(values))
        near = torch.arange(frames)[:, None] + torch.arange(2 * front.around + 1)
        return ((values - front.mean)[:, near].flatten(2) @ front.directions).mT

    def log_mel(self, audio: Tensor, frames: int) -> Tensor:
        """``MelFrames.log_mel`` of waveforms (batch, samples)."""
        front = self.front
        edge = front.length - front.hop
        before, after = front.around * front.hop + edge // 2, front.around * front.hop + edge - edge // 2
        starts = torch.arange(frames + 2 * front.around) * front.hop
        spectrum = self.power(frames_of(nn.functional.pad(audio, (before, after)), starts, front.length))
        return (spectrum.sqrt() @ front.filters + FLOOR).log()


class ConvTwin(nn.Module):
    """``Conv`` on a length that its stride divides."""

    def __init__(self, layer: Conv) -> None:
        super().__init__()
        self.conv, self.left = layer.conv, layer.left

    def forward(self, x: Tensor) -> Tensor:
        if self.left:  # zeros behind a signal that is too short to reflect
            reflected = nn.functional.pad(x, (0, self.left + 1))[..., 1 : self.left + 1].flip(-1)
            x = torch.cat([reflected, x], dim=-1)
        return self.conv(x)


class CodecTwin(nn.Module):
    """``Codec`` without a recurrent layer, on whole clips: no block of a long clip needs more than its context."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        if codec.config.lstm:
            raise ValueError(
                "a codec with an LSTM, such as EnCodec's, is not exported: its codes depend on the blocks of 30 s that "
                "the package cuts a recording into"
            )
        self.codec = evaluated(codec)
        if isinstance(self.codec.encoder, MelStack | MelNetwork):
            self.codec.encoder = MelFramesTwin(self.codec.encoder)  # type: ignore[assignment]
        replace_convolutions(self.codec)

    def forward(self, audio: Tensor, count: int) -> Tensor:
        """Waveforms (batch, samples) -> codes of the first ``count`` codebooks, (batch, count, frames)."""
        hop = self.codec.hop
        frames = free(parts(audio.shape[1], hop), 1)
        audio = nn.functional.pad(audio, (0, hop))[:, torch.arange(frames * hop)]
        return self.codec.quantizer.encode(self.codec.normalise(self.codec.encoder(audio[:, None])), count)


def replace_convolutions(view: nn.Module) -> None:
    """Puts twins in place of all ``Conv`` of a view."""
    children: Iterable[tuple[str, nn.Module]] = list(view.named_children())
    for name, child in children:
        if isinstance(child, Conv):
            view._modules[name] = ConvTwin(child)
        else:
            replace_convolutions(child)
