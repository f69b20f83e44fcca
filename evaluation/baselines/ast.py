"""AST, the audio spectrogram transformer, as a yardstick: on our layers, so that training and timing share their code.

Gong et al., "AST: Audio Spectrogram Transformer", Interspeech 2021 (arXiv 2104.01778): a plain vision transformer on
overlapping patches of 16 x 16, ten bands and ten frames apart, with a class and a distillation token and learnt
positions. Random weights; nothing here reads the published ones. It is a HEAR module by itself:

    python -m evaluation.probe evaluation.baselines.ast --model AST.safetensors --tasks DIR --out results

A frame is a column of patches, averaged. Of a window of 1024 frames AST has 101 columns, as of 1016.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer import checkpoint
from hear_audioformer.embedder import Embedder, get_scene_embeddings, get_timestamp_embeddings
from hear_audioformer.encoder import ClipContext, Encoder
from hear_audioformer.features import FILTER_BANK, KaldiFilterBank
from hear_audioformer.layers import Block, Linear
from hear_audioformer.windows import Geometry

__all__ = ["Ast", "Config", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

METHOD = "ast"
OPTIONS: tuple[str, ...] = ()
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}  # width, depth, heads
Pool = Literal["mean", "mean+std", "cls"]
TOKENS = 2  # class and distillation


@dataclass(frozen=True)
class Config:
    """Everything that makes one AST.

    Attributes:
        width, depth, heads: the transformer.
        bands, frames: the input; frames of 10 ms.
        patch, stride: of square patches; they overlap where the stride is smaller.
        mean, std: of the filter bank; values are divided by twice the deviation.
        pool: how a clip becomes a scene embedding: "cls" the mean of its two tokens, as published, or from the frames.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    bands: int = 128
    frames: int = 1024
    patch: int = 16
    stride: int = 10
    sample_rate: int = 16000
    mean: float = FILTER_BANK.mean
    std: float = FILTER_BANK.std
    pool: Pool = "cls"

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """The configuration of a named size ("tiny", "small", "base"), with changes."""
        width, depth, heads = SIZES[size]
        return cls(**{"width": width, "depth": depth, "heads": heads, **changes})

    @property
    def grid(self) -> tuple[int, int]:
        """Rows (frequency) and columns (time) of patches in a full window."""
        return 1 + (self.bands - self.patch) // self.stride, 1 + (self.frames - self.patch) // self.stride


class Ast(Encoder):
    """The encoder without its class layer."""

    pools = get_args(Pool)
    undecayed = ("cls", "positions")
    config: Config

    def __init__(self, config: Config) -> None:
        rows, columns = config.grid
        front = KaldiFilterBank(config.sample_rate, config.bands)
        # Centred on the middle of a patch, which reaches beyond the frames that it alone stands for.
        origin = front.origin + front.hop * (config.patch - config.stride) // 2
        geometry = Geometry(config.sample_rate, front.hop, origin, config.stride, columns)
        super().__init__(config, geometry, depth=config.depth, pool=config.pool)
        self.rows, self.columns = rows, columns
        self.front = front
        self.embed = Linear(config.patch**2, config.width)
        self.cls = nn.Parameter(0.02 * torch.randn(TOKENS, config.width))
        self.positions = nn.Parameter(0.02 * torch.randn(TOKENS + self.rows * self.columns, config.width))
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def layer_dim(self, layer: int) -> int:
        return self.config.width

    def count(self, samples: int) -> int:
        return self.front.count(samples)

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """Waveforms (batch, samples) -> normalised filter bank frames start..stop, (batch, stop - start, bands)."""
        return (self.front(audio, start, stop) - self.config.mean) / (2 * self.config.std)

    def tokens(self, features: Tensor) -> Tensor:
        """Features (batch, frames, bands) -> what the first block gets, (batch, 2 + rows * columns, width)."""
        patch, stride = self.config.patch, self.config.stride
        columns = min(-(-features.shape[1] // stride), self.columns)
        needed = (columns - 1) * stride + patch
        features = F.pad(features, (0, 0, 0, needed - features.shape[1]))  # cuts what no patch covers
        patches = self.embed(features.unfold(1, patch, stride).unfold(2, patch, stride).flatten(3))
        table = self.positions[TOKENS:].unflatten(0, (self.rows, self.columns))[:, :columns]
        tokens = rearrange(patches, "b t f d -> b f t d") + table
        cls = (self.cls + self.positions[:TOKENS]).expand(len(tokens), -1, -1)
        return torch.cat([cls, tokens.flatten(1, 2)], dim=1)

    def run(self, features: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Features -> normalised outputs of the given blocks, both tokens first."""
        tokens, outputs = self.tokens(features), {}
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            if number in layers:
                outputs[number] = self.norm(tokens)
        return [outputs[number] for number in layers]

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> list[Tensor]:
        return [tokens[:, TOKENS:].unflatten(1, (self.rows, -1)).mean(1) for tokens in self.run(features, layers)]

    def pooled_layers(self, features: Tensor, layers: Sequence[int], pool: str) -> list[Tensor]:
        if pool != "cls":
            return self.encode_layers(features, layers)
        columns = -(-features.shape[1] // self.config.stride)
        return [
            tokens[:, :TOKENS].mean(1, keepdim=True).expand(-1, columns, -1) for tokens in self.run(features, layers)
        ]


def build(config: dict[str, Any]) -> Ast:
    """An encoder with random weights, from the fields of a ``Config``."""
    return Ast(Config(**config))


def load_model(source: str = "", **options: Any) -> Embedder:
    """HEAR: an AST from a weight file that was trained here; options are those of ``Embedder``."""
    if not source:
        raise ValueError("no AST weights come with this package: pass a weight file")
    header, tensors = checkpoint.read(source)
    if header.method != METHOD:
        raise checkpoint.WeightsError(f"{source} holds a model of method {header.method}, not {METHOD}")
    encoder = build({**header.config, **header.normalisation})
    checkpoint.fill(encoder, tensors, source)
    return Embedder(encoder, **options)
