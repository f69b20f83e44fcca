"""Any encoder -> HEAR: a model that embeds clips of any length.

An encoder turns one window of audio into frames. ``WindowedEncoder`` cuts clips into windows, puts the windows of all
clips (and of the frame-shifted passes that make fine timestamps) into batches, and puts the frames back together.
``Embedder`` adds the user's options: hop, pooling, layers, precision. Beside the waveform and the embeddings, memory is
bounded by the batch of windows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from . import stream as streaming
from .clips import Clips, group_of, groups_of, refuse_unsound
from .encoder import Encoder as Encoder  # part of this module too, as are HEAR's functions
from .encoder import layer_numbers
from .fields import is_whole
from .model import Blocks, Model, Precision, Progress, UsedPrecision
from .model import get_scene_embeddings as get_scene_embeddings
from .model import get_timestamp_embeddings as get_timestamp_embeddings
from .view import evaluated
from .windowed import WindowedEncoder
from .windows import Grid

Hop = Literal["exact", "fast"]


class Embedder(Model):
    """The model that HEAR's ``load_model`` returns for an encoder, in evaluation mode.

    Each call makes a view of the encoder in evaluation mode, other modules around the same weights
    (``view.evaluated``), and leaves the encoder's own mode alone. So the encoder may be in training, and any number of
    threads may embed with it. Only the constructor sets the encoder's mode. In bf16 each call casts the linear layers
    of the view again, because a weight may have changed.

    Args:
        encoder: any ``Encoder``.
        hop_ms: step between timestamps; by default the longest that is at most 50 ms.
        hop: "exact" runs the encoder once for each shift of the frames; "fast" runs it once and interpolates between
            its own frames linearly, which gives the same timestamps without finer detail.
        pool: how frames become a scene embedding: "mean", "mean+std" for twice the size, or another of the encoder's
            ``pools``; by default the model's own.
        layers: the layers to concatenate, a list or one number, counted from 1, or from -1 backwards; by default the
            encoder's own.
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
        self.sample_rate = encoder.sample_rate
        self.timestamp_embedding_size = sum(encoder.layer_dim(layer) for layer in self.layers)
        self.pooled_dim = sum(encoder.pooled_dim(layer, self.pool) for layer in self.layers)
        self.scene_embedding_size = self.pooled_dim * (2 if self.pool == "mean+std" else 1)

    @property
    def hops(self) -> list[float]:
        """The steps between timestamps that it can have, in ms, longest first."""
        return list(self.encoder.geometry.hops())

    @property
    def used_precision(self) -> UsedPrecision:
        """The precision of the next call; "auto" depends on the model's device."""
        if self.precision == "auto":
            return "bf16" if self.device.type == "cuda" else "fp32"
        return self.precision

    @torch.no_grad()
    def scene(self, audio: Clips) -> Tensor:
        """One vector a clip: (clips, scene_embedding_size).

        ``audio`` is (clips, samples), or a list of 1-D clips of any lengths, which share the window batches.
        """
        groups, device = groups_of(audio)
        return refuse_unsound(self.pooled_encoder().scenes(groups, self.pooled_dim, std=self.pool == "mean+std")).to(
            device
        )

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

    def choices(self) -> dict[str, Any]:
        return {"pool": self.pool, "layers": list(self.layers), "hop": "fast" if self.fast else "exact"}

    def scene_of(self, open_blocks: Blocks, progress: Progress | None = None) -> Tensor:
        """``scene`` of a recording of any length that is read block by block, in constant memory."""
        return streaming.scene_of(self, open_blocks, progress)

    def timestamps_of(self, open_blocks: Blocks, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """``timestamps`` of such a recording, in parts in order of time, in constant memory."""
        return streaming.timestamps_of(self, open_blocks, progress)

    def stream_groups(
        self, chunks: Iterable[Any], *, sample_rate: int | None = None, latency_ms: float | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return streaming.stream(self, chunks, sample_rate=sample_rate, latency_ms=latency_ms)

    @property
    def latency_ms(self) -> float:
        return streaming.latency_ms(self)

    def _frames(self, audio: Tensor, grid: Grid) -> Tensor:
        out = torch.empty(len(audio), grid.count, self.timestamp_embedding_size, device=audio.device)
        for rows, index, frames in self.frame_encoder().frames([audio], [grid]):
            out[rows, index] = frames.to(audio.device)
        return out

    def frame_encoder(self) -> WindowedEncoder:
        """What makes the frames of timestamps."""
        return self._windowed(lambda encoder, features: encoder.encode_layers(features, self.layers))

    def pooled_encoder(self) -> WindowedEncoder:
        """What makes the vectors whose mean is a scene embedding."""
        return self._windowed(lambda encoder, features: encoder.pooled_layers(features, self.layers, self.pool))

    def _windowed(self, layers_of: Callable[[Encoder, Tensor], Iterable[Tensor]]) -> WindowedEncoder:
        """A view of the encoder in evaluation mode, at the precision in use; its features are float32 in any case."""
        if self.device.type == "meta":
            raise ValueError("the model is on the meta device, which holds no weights; load it on a CPU or a GPU")
        front = evaluated(self.encoder)
        encoder = evaluated(self.encoder, torch.bfloat16) if self.used_precision == "bf16" else front

        def encode(features: Tensor) -> Tensor:
            return torch.cat(list(layers_of(encoder, features)), dim=-1).float()

        batch_size = self.batch_size or (128 if self.device.type == "cuda" else 16)
        return WindowedEncoder(self.encoder, front, encode, batch_size)


def _one_of(name: str, value: Any, choices: Sequence[str]) -> Any:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(choices)}")
    return value
