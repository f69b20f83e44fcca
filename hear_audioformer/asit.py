"""ASiT: a vision transformer on Kaldi filter banks, pretrained by reconstruction and self-distillation.

Atito et al., "ASiT: Local-Global Audio Spectrogram vIsion Transformer for Event Classification", IEEE/ACM Transactions
on Audio, Speech, and Language Processing, 2024 (arXiv 2211.13189). This module is a HEAR module by itself:
``load_model``, ``get_scene_embeddings``, ``get_timestamp_embeddings``.

Spectrogram and tokens are in (time, mel) order: the patches of one column, low band first, are neighbours. A frame is
one column. A class token stands in front of the patches and is part of scene embeddings.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from . import weights
from .encoder import ClipContext, Encoder, layer_numbers
from .feature_stream import Statistics
from .features import FILTER_BANK, FLOAT32_EPSILON, KaldiFilterBank
from .fields import check
from .layers import Block, Linear
from .model import Model, get_scene_embeddings, get_timestamp_embeddings
from .windows import Geometry

__all__ = ["Asit", "Config", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

METHOD = "asit"
OPTIONS = ("positions", "window", "column")  # fields of Config that a user may change of a trained model
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}  # width, depth, heads
POSITIVE = ("width", "depth", "heads", "mlp_ratio", "bands", "frames", "patch", "sample_rate")
Pool = Literal["mean", "mean+std", "cls", "cls+mean", "freq_concat"]
Positions = Literal["crop", "stretch"]
Column = Literal["mean", "concat"]
SUMMED = 1 << 20  # samples that the mean of a batch sums at a time


@dataclass(frozen=True)
class Config:
    """Everything that makes one ASiT encoder.

    Attributes:
        width, depth, heads, mlp_ratio: the transformer.
        bands, frames: the input that the learnt positions belong to; frames of 10 ms.
        patch: frames and bands of one patch.
        sample_rate: 32000 in the authors' code, 16000 for the weights that circulate.
        mean, std: of the filter bank; values are divided by twice the deviation, as published.
        positions: the positions of windows of other lengths: "crop" takes the first columns, "stretch" resizes all.
        window: frames that one forward sees; by default ``frames``. More need stretched positions.
        column: how the patches of a column become a timestamp's vector: "mean", or "concat" for side by side.
        pool: how a clip becomes a scene embedding: "cls", "mean" over all patches, "cls+mean" both, "freq_concat" the
            mean over time of the columns' patches side by side, "mean+std" of the timestamps' vectors.
        layers: the layers that an embedding concatenates by default; the last alone if None.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    bands: int = 128
    frames: int = 592
    patch: int = 16
    sample_rate: int = 16000
    mean: float = FILTER_BANK.mean
    std: float = FILTER_BANK.std
    positions: Positions = "crop"
    window: int | None = None
    column: Column = "mean"
    pool: Pool = "cls+mean"
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check(self, positive=POSITIVE, deep=("depth",))
        if self.window == 0:
            raise ValueError("window=0: must be above 0, or None for the trained one")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(layer_numbers(self.layers, self.depth)))
        for name, size in (("bands", self.bands), ("frames", self.frames), ("window", self.window or 0)):
            if size % self.patch:
                raise ValueError(f"{name}={size} is not a multiple of the patch's {self.patch}")
        if self.window and self.window > self.frames and self.positions == "crop":
            raise ValueError(f'window={self.window} with positions for {self.frames} frames: pass positions="stretch"')
        if not self.std > 0:
            raise ValueError(f"std must be positive, got {self.std}")

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """The configuration of a named size ("tiny", "small", "base"), with changes."""
        width, depth, heads = SIZES[size]
        return cls(width=width, depth=depth, heads=heads, **changes)

    @property
    def grid(self) -> tuple[int, int]:
        """Columns (time) and rows (frequency) of the patches that the learnt positions belong to."""
        return self.frames // self.patch, self.bands // self.patch


class Asit(Encoder):
    """The backbone. Training adds heads, corruption and the teacher."""

    pools = get_args(Pool)
    config: Config

    def __init__(self, config: Config) -> None:
        columns, rows = config.grid
        front = KaldiFilterBank(config.sample_rate, config.bands)
        window = (config.window or config.frames) // config.patch
        super().__init__(
            config,
            Geometry(config.sample_rate, front.hop, front.origin, config.patch, window),
            depth=config.depth,
            layers=config.layers,
            pool=config.pool,
            silence=(math.log(FLOAT32_EPSILON) - config.mean) / (2 * config.std),
        )
        self.rows = rows
        self.front = front
        self.embed = Linear(config.patch**2, config.width)
        self.cls = nn.Parameter(torch.zeros(1, config.width))
        self.positions = nn.Parameter(nn.init.normal_(torch.empty(1 + columns * rows, config.width), std=0.02))
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def count(self, samples: int) -> int:
        return self.front.count(samples)

    def clip_context(self, audio: Tensor) -> ClipContext:
        """The mean of every clip, which is removed before anything else, (batch, 1)."""
        total = audio.new_zeros(len(audio), dtype=torch.float64)
        for part in audio.split(max(1, SUMMED // max(1, len(audio))), dim=1):
            total += part.sum(1, dtype=torch.float64)
        return (total / audio.shape[1]).to(audio.dtype)[:, None]

    def statistics(self) -> Statistics:
        """The mean of all samples so far."""
        return RunningMean()

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """Waveforms (batch, samples) -> normalised filter bank frames start..stop, (batch, stop - start, bands).

        Frames beyond the clip's last are rows of zeros before normalisation, as the authors fill up a short crop.
        """
        mean = self.clip_context(audio) if clip_context is None else clip_context
        assert mean is not None
        first, last = start * self.front.hop, (stop - 1) * self.front.hop + self.front.length
        bank = self.front(audio[:, first:last] - mean, 0, stop - start)
        padded = F.pad(bank, (0, 0, 0, stop - start - bank.shape[1]))
        return (padded - self.config.mean) / (2 * self.config.std)

    def patches(self, features: Tensor) -> Tensor:
        """Features (batch, frames, bands) -> embedded patches without positions, (batch, columns * rows, width)."""
        size = self.config.patch
        features = F.pad(features, (0, 0, 0, -features.shape[1] % size), value=self.silence)
        return self.embed(rearrange(features, "b (t h) (m w) -> b (t m) (h w)", h=size, w=size))

    def table(self, columns: int, positions: Positions) -> Tensor:
        """Positions of the class token and of ``columns`` columns, (1 + columns * rows, width)."""
        trained = self.config.grid[0]
        if positions == "stretch" and columns != trained:
            learnt = rearrange(self.positions[1:], "(t m) d -> 1 d t m", t=trained)
            resized = F.interpolate(learnt, size=(columns, self.rows), mode="bicubic", align_corners=False)
            return torch.cat([self.positions[:1], rearrange(resized, "1 d t m -> (t m) d")])
        if columns > trained:
            raise ValueError(
                f"{columns * self.config.patch} frames do not fit into a window of {self.config.frames}; "
                'positions="stretch" lets them'
            )
        return self.positions[: 1 + columns * self.rows]

    def tokens(self, features: Tensor, positions: Positions | None = None) -> Tensor:
        """Features (batch, frames, bands) -> input of the first block, CLS first, (batch, 1 + columns * rows, width).

        ``positions`` overrides that of the configuration.
        """
        patches = self.patches(features)
        table = self.table(patches.shape[1] // self.rows, positions or self.config.positions)
        return torch.cat([self.cls.expand(patches.shape[0], 1, -1), patches], dim=1) + table

    def run(self, tokens: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Tokens -> outputs of the given blocks, CLS first, each through the last norm."""
        outputs = {}
        for number, block in enumerate(self.blocks[: max(layers)], start=1):
            tokens = block(tokens)
            if number in layers:
                outputs[number] = self.norm(tokens)
        return [outputs[number] for number in layers]

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> Tensor:
        return self._vectors(features, layers, self.config.column)

    def pooled_layers(self, features: Tensor, layers: Sequence[int], pool: str) -> Tensor:
        return self._vectors(features, layers, self.config.column if pool == "mean+std" else pool)

    def layer_dim(self, layer: int) -> int:
        return self._width(self.config.column)

    def pooled_dim(self, layer: int, pool: str) -> int:
        return self._width(self.config.column if pool == "mean+std" else pool)

    def _vectors(self, features: Tensor, layers: Sequence[int], kind: str) -> Tensor:
        """A vector of each column, made of its patches and CLS as ``kind`` says, (layers, batch, columns, dim)."""
        outputs = torch.stack(self.run(self.tokens(features), layers))
        patches = rearrange(outputs[:, :, 1:], "l b (t m) d -> l b t m d", m=self.rows)
        if kind in ("concat", "freq_concat"):
            return patches.flatten(3)
        if kind == "mean":
            return patches.mean(3)
        cls = outputs[:, :, :1].expand(-1, -1, patches.shape[2], -1)
        return cls if kind == "cls" else torch.cat([cls, patches.mean(3)], dim=-1)

    def _width(self, kind: str) -> int:
        """Width of a kind of vector."""
        return self.config.width * {"concat": self.rows, "freq_concat": self.rows, "cls+mean": 2}.get(kind, 1)


class RunningMean:
    """The mean of the samples of a clip that comes in blocks."""

    def __init__(self) -> None:
        self.total, self.samples = torch.zeros(1, dtype=torch.float64), 0

    def add(self, audio: Tensor) -> None:
        """The next samples, (1, samples)."""
        self.total = self.total.to(audio.device) + audio.sum(1, dtype=torch.float64)
        self.samples += audio.shape[1]

    def value(self, ended: bool) -> Tensor:
        """The mean so far, (1, 1)."""
        return (self.total / self.samples).float()[:, None]


def build(config: dict[str, Any]) -> Asit:
    """An encoder with random weights, from the fields of a ``Config``."""
    return Asit(Config(**config))


def load_model(source: str = "", **options: Any) -> Model:
    """HEAR: an ASiT model by name, path or ``hf://OWNER/REPO@REVISION/FILE``; the default ASiT without a source.

    Args:
        pool: "mean", "mean+std", "cls", "cls+mean" or "freq_concat"; by default the model's own.
        layers: the blocks to concatenate, such as ``[6, 12]`` or ``[-1]``.
        hop_ms: step between timestamps, such as 40 (the default), 20 or 10.
        precision: "fp32", "bf16" or "auto", bf16 on CUDA alone.
        batch_size: windows of one forward; bounds the memory.

    For research and parity (docs/asit.md): hop, positions, window, column.
    """
    return weights.load_model(source, method=METHOD, **options)
