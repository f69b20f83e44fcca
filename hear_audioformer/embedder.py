"""Any encoder -> HEAR: the one place that knows about windows, short clips, frame centres, pooling and precision.

An encoder turns one window of audio into frames. The embedder cuts clips of any length into windows, folds the windows
of all clips (and of the frame-shifted passes that make fine timestamps) into one batch dimension, and puts the frames
back together. Memory is bounded by the window batch, beside the waveform and the answer themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .clips import Clips, group_of, groups_of, refuse_unsound
from .fields import is_whole
from .view import evaluated
from .windows import Blend, Geometry, Grid, Window

Precision = Literal["auto", "fp32", "bf16"]
Pool = Literal["mean", "mean+std"]  # what every method offers
Hop = Literal["exact", "fast"]
Statistics = Tensor | None


class Encoder(nn.Module):
    """What a method says of itself; ``Embedder`` does the rest.

    Attributes:
        sample_rate: Hz.
        window: samples that it sees at once (what it was trained on).
        hop: samples from one of its frames to the next, exact.
        dim: width of a frame.
        depth: number of layers whose frames can be asked for.
        layers: those that make a frame unless the user says otherwise; the last alone if None.
        geometry: the same facts in feature frames.
        pools: the ways in which frames may become a scene embedding.
        pool: the one that is taken unless the user says otherwise.
        pad_short: whether a window with too little audio is padded to full length instead of run at its own.
        silence: what normalised features hold where there is no audio.
        towers: names of the networks that stand side by side in it, each with layers of its own.
        fixed: beginnings of the names of tensors that no training of the method moves, such as a codec's: fresh
            weights are to come with the ones that a file has.
    """

    sample_rate: int
    window: int
    hop: Fraction | int
    dim: int
    depth: int
    layers: Sequence[int] | None = None
    geometry: Geometry
    pools: tuple[str, ...] = get_args(Pool)
    pool: str = "mean"
    pad_short: bool = False
    silence: float = 0.0
    towers: tuple[str, ...] = ("",)
    fixed: tuple[str, ...] = ()

    def count(self, samples: int) -> int:
        """Feature frames in a clip of this many samples."""
        raise NotImplementedError

    def statistics(self, audio: Tensor) -> Statistics:
        """What must be known of whole clips before their parts, (batch, ...), or None, the default: nothing.

        Statistics that normalise a clip, or codes that come from all of its past.
        """
        return None

    def features(self, audio: Tensor, start: int, stop: int, statistics: Statistics = None) -> Tensor:
        """Waveforms (batch, samples) -> normalised feature frames start..stop, (batch, stop - start, ...)."""
        raise NotImplementedError

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> Iterable[Tensor]:
        """At most one window of features -> the frames of each given layer (1..depth), (batch, frames, dim)."""
        raise NotImplementedError

    def pooled_layers(self, features: Tensor, layers: Sequence[int], pool: str) -> Iterable[Tensor]:
        """The same for scene embeddings: vectors whose mean over a clip is what ``pool`` asks for; by default frames.

        What a window has only once, such as its class token, stands in every frame, so that the mean over a clip
        weighs each window by its length.
        """
        return self.encode_layers(features, layers)

    def layer_dim(self, layer: int) -> int:
        """Width of a layer's frames."""
        return self.dim

    def pooled_dim(self, layer: int, pool: str) -> int:
        """Width of a layer's vectors for ``pool``."""
        return self.layer_dim(layer)

    def encode(self, features: Tensor) -> Tensor:
        """At most one window of features -> (batch, frames, dim)."""
        return torch.cat(list(self.encode_layers(features, self.layers or [self.depth])), dim=-1)

    def forward(self, audio: Tensor) -> Tensor:
        """At most one window of waveform (batch, samples) -> (batch, frames, dim)."""
        return self.encode(self.features(audio, 0, self.count(audio.shape[-1]), self.statistics(audio)))


class Embedder(nn.Module):
    """The model that HEAR's ``load_model`` returns, in evaluation mode.

    It embeds in evaluation mode whatever mode it or its encoder is in, and touches no module's mode: each call makes a
    view of the encoder, other modules around the same weights (``view.evaluated``). So an encoder may be in training,
    and any number of threads may embed with it meanwhile; only the making of an embedder sets the encoder's mode. In
    bf16 the view's linear layers are cast once a call, which costs less than finding out whether a weight has changed.

    Args:
        encoder: any ``Encoder``.
        hop_ms: step between timestamps; by default the longest that is at most 50 ms.
        hop: "exact" runs the encoder anew for each shift of the frames; "fast" runs it once and draws straight lines
            between its own frames, which gives the same timestamps but no finer view.
        pool: how frames become a scene embedding: "mean", "mean+std" for twice the size, or what else the encoder
            offers (its ``pools``); by default the model's own.
        layers: which of the encoder's layers to concatenate, a list or one number, counted from 1 or from -1 backwards;
            by default the last, or what the encoder says.
        precision: "fp32", "bf16", or "auto": bf16 on CUDA, fp32 elsewhere. Embeddings are float32 in any case.
        batch_size: windows that one forward takes; this bounds the memory. By default 128 on CUDA, 16 elsewhere.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        hop_ms: float | None = None,
        hop: Hop = "exact",
        pool: str | None = None,
        layers: Sequence[int] | int | None = None,
        precision: Precision = "auto",
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.eval()
        self.pool = _one_of("pool", encoder.pool if pool is None else pool, encoder.pools)
        self.fast = _one_of("hop", hop, get_args(Hop)) == "fast"
        self.precision = _one_of("precision", precision, get_args(Precision))
        self.layers = layer_numbers(encoder.layers if layers is None else layers, encoder.depth)
        if batch_size is not None and (not is_whole(batch_size) or batch_size < 1):
            raise ValueError(f"batch_size must be at least 1 and a whole number, got {batch_size!r}")
        self.batch_size = batch_size
        self.step = encoder.geometry.choose_hop(hop_ms)
        self.hop_ms = 1000 * self.step * encoder.geometry.step / encoder.geometry.sample_rate
        self.sample_rate = int(encoder.sample_rate)
        self.timestamp_embedding_size = sum(encoder.layer_dim(layer) for layer in self.layers)
        self._pooled = sum(encoder.pooled_dim(layer, self.pool) for layer in self.layers)
        self.scene_embedding_size = self._pooled * (2 if self.pool == "mean+std" else 1)

    @property
    def used_precision(self) -> Literal["fp32", "bf16"]:
        """What ``precision`` comes to where the model is now."""
        if self.precision == "auto":
            return "bf16" if self._device.type == "cuda" else "fp32"
        return self.precision

    @torch.no_grad()
    def scene(self, audio: Clips) -> Tensor:
        """One vector a clip: (clips, scene_embedding_size).

        ``audio`` is (clips, samples), or a list of 1-D clips of any lengths, which share the window batches.
        """
        groups, device = groups_of(audio)
        clips = sum(len(group) for group in groups)
        total = torch.zeros(2, clips, self._pooled, dtype=torch.float64, device=self._device)
        counts = torch.ones(clips, 1, dtype=torch.float64, device=self._device)
        grids = [self.encoder.geometry.native(self.encoder.count(group.shape[1])) for group in groups]
        for clip, _, frames in self._run(groups, grids, self.pool):
            total[:, clip] += torch.stack([frames.sum(1, dtype=torch.float64), frames.double().square().sum(1)])
        for clip, grid in zip(_rows(groups), grids, strict=True):
            counts[clip] = grid.count
        mean, square = total / counts
        pooled = [mean]
        if self.pool == "mean+std":
            pooled.append((square - mean.square()).clamp(min=0).sqrt())
        return refuse_unsound(torch.cat(pooled, dim=-1).float()).to(device)

    @torch.no_grad()
    def timestamps(self, audio: Clips) -> tuple[Tensor, Tensor]:
        """Frames each ``hop_ms``, (clips, frames, timestamp_embedding_size), and centres in ms, (clips, frames)."""
        audio, device = group_of(audio)
        geometry, samples = self.encoder.geometry, audio.shape[1]
        grid = geometry.centred(samples, self.step)
        times = geometry.timestamps(grid, samples).to(device)
        frames = grid.between(self._frames(audio, grid.coarse())) if self.fast else self._frames(audio, grid)
        return refuse_unsound(frames), times.expand(len(audio), -1).clone()

    @torch.no_grad()
    def frames(self, audio: Clips) -> Tensor:
        """The encoder's own frames, side by side, the last perhaps partly padded: (clips, frames, dim)."""
        audio, _ = group_of(audio)
        return refuse_unsound(self._frames(audio, self.encoder.geometry.native(self.encoder.count(audio.shape[1]))))

    def forward(self, audio: Clips) -> Tensor:
        """The same as ``scene``."""
        return self.scene(audio)

    def _frames(self, audio: Tensor, grid: Grid) -> Tensor:
        out = torch.empty(len(audio), grid.count, self.timestamp_embedding_size, device=audio.device)
        for clip, index, frames in self._run([audio], [grid]):
            out[clip, index] = frames.to(audio.device)
        return out

    def _run(
        self, groups: list[Tensor], grids: list[Grid], pool: str | None = None
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yields (which clips, which frames of their grid, the frames) until all are done, in any order."""
        if self._device.type == "meta":
            raise ValueError("the model is on the meta device, which holds no weights; load it on a CPU or a GPU")
        batch = self.batch_size or (128 if self._device.type == "cuda" else 16)
        columns = self.encoder.geometry.columns
        listener = evaluated(self.encoder)
        encoder = evaluated(self.encoder, torch.bfloat16) if self.used_precision == "bf16" else listener
        waiting: dict[int, list[tuple[slice, Window, Tensor]]] = {}  # windows of one length share a forward
        blend = Blend()  # those of one clip that overlap have one length: their order stays
        for rows, group, grid in zip(_rows(groups), groups, grids, strict=True):
            for clip, window, features in self._cut(listener, rows, group, grid, batch):
                length = columns if encoder.pad_short else window.columns
                queue = waiting.setdefault(length, [])
                queue.append((clip, window, features))
                if sum(len(features) for _, _, features in queue) >= batch:
                    yield from self._flush(encoder, waiting.pop(length), length, batch, blend, pool)
        for length, queue in waiting.items():
            yield from self._flush(encoder, queue, length, batch, blend, pool)

    def _cut(
        self, encoder: Encoder, rows: slice, group: Tensor, grid: Grid, batch: int
    ) -> Iterator[tuple[slice, Window, Tensor]]:
        """Features of all windows of equally long clips; those of neighbouring windows are computed together, once."""
        total = encoder.count(group.shape[1])
        statistics = encoder.statistics(group) if len(group) else None
        for row in range(0, len(group), batch):
            audio = group[row : row + batch]
            known = None if statistics is None else statistics[row : row + batch]
            clip = slice(rows.start + row, rows.start + row + len(audio))
            windows = encoder.geometry.windows(grid)
            while run := list(islice(windows, max(grid.passes, batch // len(audio)))):
                start = min(window.start for window in run)
                stop = max(window.start + window.columns * grid.patch for window in run)
                inside = encoder.features(audio, max(start, 0), min(stop, total), known)
                features = _pad_time(inside, max(-start, 0), max(stop - total, 0), encoder.silence)
                for window in run:
                    at = window.start - start
                    yield clip, window, features[:, at : at + window.columns * grid.patch]

    def _flush(
        self,
        encoder: Encoder,
        queue: list[tuple[slice, Window, Tensor]],
        columns: int,
        batch: int,
        blend: Blend,
        pool: str | None,
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Encodes windows of one length, ``batch`` at a time."""
        width = columns * encoder.geometry.patch
        filled = [_pad_time(features, 0, width - features.shape[1], encoder.silence) for _, _, features in queue]
        frames = torch.cat([self._encode(encoder, part, pool) for part in torch.cat(filled).split(batch)])
        for (clip, window, _), mine in zip(queue, frames.split([len(f) for _, _, f in queue]), strict=True):
            mine = mine[:, : window.columns]
            yield blend.add(clip, window, mine) if encoder.geometry.stride else (clip, window.frames, mine)

    def _encode(self, encoder: Encoder, features: Tensor, pool: str | None) -> Tensor:
        """Vectors for a way of pooling, or frames where there is none, the layers side by side."""
        if pool is None:
            layers = encoder.encode_layers(features, self.layers)
        else:
            layers = encoder.pooled_layers(features, self.layers, pool)
        return torch.cat(list(layers), dim=-1).float()

    @property
    def _device(self) -> torch.device:
        return next(self.encoder.parameters()).device


def get_scene_embeddings(audio: Tensor, model: Embedder) -> Tensor:
    """HEAR: one vector a sound, (n_sounds, model.scene_embedding_size), for audio (n_sounds, n_samples)."""
    return model.scene(audio)


def get_timestamp_embeddings(audio: Tensor, model: Embedder) -> tuple[Tensor, Tensor]:
    """HEAR: (n_sounds, n_timestamps, model.timestamp_embedding_size), and centres in ms, (n_sounds, n_timestamps)."""
    return model.timestamps(audio)


def _rows(groups: list[Tensor]) -> Iterator[slice]:
    """The clips of each group, counted through all groups."""
    start = 0
    for group in groups:
        yield slice(start, start + len(group))
        start += len(group)


def _pad_time(features: Tensor, before: int, after: int, value: float) -> Tensor:
    """Adds frames of one value in front of and behind (batch, frames, ...)."""
    if not before and not after:
        return features
    return nn.functional.pad(features, (0, 0) * (features.ndim - 2) + (before, after), value=value)


def layer_numbers(layers: Sequence[int] | int | None, depth: int) -> list[int]:
    """Layers counted from 1, of those that a user named, perhaps backwards; the last if none was."""
    named: Any = [depth] if layers is None else [layers] if is_whole(layers) else layers
    listed = isinstance(named, Iterable) and not isinstance(named, (str, bytes)) and all(map(is_whole, named))
    numbers = [int(depth + 1 + n if n < 0 else n) for n in named] if listed else []
    if not numbers or not all(1 <= n <= depth for n in numbers):
        raise ValueError(f"layers={layers!r}: name layers 1 to {depth} of this model, or -1 to -{depth} from its end")
    return numbers


def _one_of(name: str, value: Any, choices: Sequence[str]) -> Any:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(choices)}")
    return value
