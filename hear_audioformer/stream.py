"""Embeddings of a clip that comes in blocks, in constant memory: live audio, and files of any length.

``stream`` gives the groups of frames that ``Embedder.stream`` takes apart. ``scene_of`` and ``timestamps_of`` give what
``Embedder.scene`` and ``Embedder.timestamps`` give for the whole waveform. They read the blocks twice where features
depend on the whole clip.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .audio import Resampler, checked_rate
from .clips import refuse_unsound, sound, waveform_of
from .encoder import Encoder
from .feature_stream import FeatureStream, Fixed
from .fields import is_number
from .frame_stream import FrameStream, Line
from .model import Blocks, Model, Progress
from .view import evaluated
from .windowed import WindowedEncoder
from .windows import Geometry, Grid

if TYPE_CHECKING:
    from .embedder import Embedder

PART = 1 << 16  # samples that are looked at together


def stream(
    model: "Embedder", chunks: Iterable[Any], *, sample_rate: int | None = None, latency_ms: float | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Times and frames in groups that are complete together; checks its arguments before it asks for a chunk."""
    parts = parts_of(model, chunks, sample_rate)
    windowed = model.frame_encoder()
    if latency_ms is not None:
        windowed = replace(windowed, encoder=_shorter(model, latency_ms))
    return _stream(model, windowed, parts)


def parts_of(model: Model, chunks: Iterable[Any], sample_rate: int | None) -> Iterator[Tensor]:
    """Checked parts of a stream at the model's rate, (1, samples)."""
    if isinstance(chunks, (str, bytes, PathLike)) or not isinstance(chunks, Iterable):
        kind = type(chunks).__name__
        raise TypeError(
            f"chunks is a {kind}, not an iterable of waveforms; hear_audioformer.audio.read_blocks reads files"
        )
    rate = model.sample_rate if sample_rate is None else checked_rate(sample_rate)
    return _resampled(checked(chunks, "chunk"), rate, model.sample_rate)


def latency_ms(model: "Embedder", geometry: Geometry | None = None) -> float:
    """The longest time from a frame's centre to the sample that completes it, in milliseconds.

    A frame waits for the end of its window. Where windows overlap, it waits for a window's length, because the clip
    could end at any time and the clip's last window ends with it.
    """
    geometry = geometry or model.encoder.geometry
    length = geometry.columns * geometry.patch * geometry.step
    centre = geometry.origin + geometry.step * (geometry.patch + 1) / 2  # from the last feature frame's position back
    samples = length + model.encoder.reach[1] - centre
    if geometry.stride:
        samples = max(samples, length)
    if model.fast:  # frames between two are known with the second
        samples += (geometry.patch - model.step) * geometry.step
    return 1000 * samples / model.sample_rate


@torch.no_grad()
def scene_of(model: "Embedder", open_blocks: Blocks, progress: Progress | None = None) -> Tensor:
    """The scene embedding of a recording of any length in constant memory: (scene_embedding_size,), float32.

    Args:
        model: a model of ``load_model``.
        open_blocks: opens the recording anew, such as ``lambda: audio.read_blocks(path, model.sample_rate)``.
        progress: is called with the number of samples that have been read for embedding.
    """
    geometry, windowed = model.encoder.geometry, model.pooled_encoder()
    sums = torch.zeros(2, model.pooled_dim, dtype=torch.float64)
    features, length = _features(windowed, open_blocks)
    frames = FrameStream(windowed, features, lambda samples: geometry.native(model.encoder.count(samples)), live=False)
    for part in _bulk(frames, open_blocks, length, progress):
        sums += torch.stack([part.sum(0, dtype=torch.float64), part.double().square().sum(0)]).cpu()
    mean, square = sums / frames.given
    std = [(square - mean.square()).clamp(min=0.0).sqrt()] if model.pool == "mean+std" else []
    return refuse_unsound(torch.cat([mean, *std]).float()[None])[0]


@torch.no_grad()
def timestamps_of(
    model: "Embedder", open_blocks: Blocks, progress: Progress | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The timestamps of a recording of any length in constant memory, in order of time.

    Yields centres in ms, (frames,), and frames, (frames, timestamp_embedding_size), on the CPU.

    Args:
        model: a model of ``load_model``.
        open_blocks: opens the recording anew, such as ``lambda: audio.read_blocks(path, model.sample_rate)``.
        progress: is called with the number of samples that have been read for embedding.
    """
    windowed = model.frame_encoder()
    features, length = _features(windowed, open_blocks)
    timed = Timed(model, windowed, features, live=False)
    for part in _bulk(timed.encoded, open_blocks, length, progress):
        if len(frames := timed.add(part)):
            yield timed.stamped(frames.cpu())
    if len(frames := timed.finish()):
        yield timed.stamped(frames.cpu())


class Timed:
    """The frames of one clip with their times; with ``hop="fast"`` those between the encoder's too.

    Attributes:
        encoded: the frames that the encoder makes.
    """

    def __init__(self, model: "Embedder", windowed: WindowedEncoder, features: FeatureStream, *, live: bool) -> None:
        self.geometry, self.step = windowed.encoder.geometry, model.step
        self.line = Line() if model.fast else None
        self.encoded = FrameStream(windowed, features, self._encoded_grid, live=live)
        self.given = 0

    @property
    def grid(self) -> Grid:
        """All frames of a clip that ends now."""
        return self.geometry.centred(self.encoded.features.samples, self.step)

    def add(self, frames: Tensor) -> Tensor:
        """Frames of the encoder -> all frames that are known with them, (frames, dim)."""
        return self.line.add(frames, self.geometry.patch // self.step) if self.line else frames

    def finish(self) -> Tensor:
        """The frames that remain at the end, (frames, dim)."""
        return self.line.finish(self.grid.count - self.given) if self.line else torch.zeros(0, 0)

    def stamped(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The next frames, and before them their centres in ms, (frames,)."""
        first = self.grid.first + self.given * self.grid.step
        part = replace(self.grid, first=first, count=len(frames))
        self.given += len(frames)
        times = self.geometry.timestamps(part, self.encoded.features.samples)
        return times, refuse_unsound(frames[None])[0]

    def _encoded_grid(self, samples: int) -> Grid:
        grid = self.geometry.centred(samples, self.step)
        return grid.coarse() if self.line else grid


@torch.no_grad()
def _stream(model: "Embedder", windowed: WindowedEncoder, parts: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    source = _source(windowed)
    features = source.stream_features(source.statistics(), live=True)
    timed = Timed(model, windowed, features, live=True)
    device = torch.device("cpu")
    for part in parts:
        device = part.device
        yield from _rows(timed, timed.add(timed.encoded.add(part)), device)
    if not features.samples:
        raise ValueError("the stream is empty: an embedding needs at least one sample")
    for last in timed.encoded.finish():
        yield from _rows(timed, timed.add(last), device)
    yield from _rows(timed, timed.finish(), device)


def _rows(timed: Timed, frames: Tensor, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    if len(frames):
        yield timed.stamped(frames.to(device))


def _features(windowed: WindowedEncoder, open_blocks: Blocks) -> tuple[FeatureStream, int | None]:
    """The features of a recording, and its length if it had to be read for the statistics of all of it."""
    source = _source(windowed)
    statistics = source.statistics()
    if statistics is None:
        return source.stream_features(live=False), None
    length = 0
    for part in checked(open_blocks(), "block"):
        statistics.add(part)
        length += part.shape[1]
    known = Fixed(statistics.value(ended=True)) if length else statistics
    return source.stream_features(known, live=False), length


def _bulk(frames: FrameStream, open_blocks: Blocks, length: int | None, progress: Progress | None) -> Iterator[Tensor]:
    """All frames of a recording in order, in parts, (frames, dim) each."""
    for part in checked(open_blocks(), "block"):
        if len(complete := frames.add(part)):
            yield complete
        if progress is not None:
            progress(frames.features.samples)
    samples = frames.features.samples
    if not samples and not length:
        raise ValueError("the recording holds no samples: an embedding needs at least one")
    if length not in (None, samples):
        raise ValueError(f"the recording had {length} samples and then {samples}: did it change?")
    yield from (last for last in frames.finish() if len(last))


def _source(windowed: WindowedEncoder) -> Encoder:
    """The encoder whose features a model uses."""
    assert isinstance(windowed.front, Encoder)
    return windowed.front


def checked(blocks: Iterable[Any], name: str) -> Iterator[Tensor]:
    """Blocks of any sizes -> checked parts of bounded size, (1, samples), float32."""
    device = None
    for number, block in enumerate(blocks):
        waveform = waveform_of(block, f"{name} {number}")
        device = device or waveform.device
        for part in waveform.split(PART):
            if len(part):
                yield sound(part[None], number, name).detach().to(device)


def _resampled(parts: Iterable[Tensor], old: int, new: int) -> Iterator[Tensor]:
    """Parts (1, samples) at another rate."""
    if old == new:
        yield from parts
        return
    resampler, device = Resampler(old, new), torch.device("cpu")
    for part in parts:
        device = part.device
        yield torch.from_numpy(resampler(part[0].cpu().numpy()))[None].to(device)
    yield torch.from_numpy(resampler.finish())[None].to(device)


def _shorter(model: "Embedder", longest_ms: Any) -> Encoder:
    """A view of a model's encoder with the longest windows whose latency is at most ``longest_ms``."""
    encoder, longest = evaluated(model.encoder), model.encoder.geometry
    if not is_number(longest_ms):
        raise ValueError(f"latency_ms={longest_ms!r} is not a number of milliseconds")
    for columns in range(longest.columns, 0, -1):
        # Overlapping windows keep their overlap of a half.
        stride = columns // 2 if longest.stride else 0
        encoder.geometry = replace(longest, columns=columns, stride=stride)
        least = latency_ms(model, encoder.geometry)
        if least <= longest_ms:
            return encoder
    raise ValueError(f"latency_ms={longest_ms:g}: windows of this model take at least {least:g} ms")
