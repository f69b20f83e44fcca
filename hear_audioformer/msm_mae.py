"""MSM-MAE: a vision transformer on log-mel patches, pretrained to reconstruct the masked three quarters of them.

Niizumi et al., "Masked Spectrogram Modeling using Masked Autoencoders for Learning General-purpose Audio
Representation", HEAR: Holistic Evaluation of Audio Representations, PMLR 166, 2022 (arXiv 2204.12260). This module is a
HEAR module by itself: ``load_model``, ``get_scene_embeddings``, ``get_timestamp_embeddings``.

A frame is one column of patches: the vectors of all frequency rows, low band first, side by side (section 3.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from . import weights
from .encoder import ClipContext, Encoder, Pool, layer_numbers
from .feature_stream import FeatureStream, Statistics
from .features import LOG_MEL, LogMel
from .fields import check
from .layers import Block, Linear, patchify, sincos_2d
from .model import Model, get_scene_embeddings, get_timestamp_embeddings
from .windows import Geometry

__all__ = ["Config", "MsmMae", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

METHOD = "msm-mae"
OPTIONS = ("normalisation", "short")  # fields of Config that a user may change of a trained model
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}  # width, depth, heads
POSITIVE = ("width", "depth", "heads", "mlp_ratio", "bands", "frames", "patch", "sample_rate")


@dataclass(frozen=True)
class Config:
    """Everything that makes one MSM-MAE encoder.

    Attributes:
        width, depth, heads, mlp_ratio: the transformer.
        bands, frames: the input window; frames of 10 ms.
        patch: bands and frames of one patch.
        cls: whether there is a class token (there is in all published weights; embeddings leave it out).
        sample_rate: 16000, or 32000 for M2D's variant.
        mean, std: of the log-mel values that it was trained on.
        normalisation: "fixed" uses mean and std. "batch" uses the statistics of the batch, as the authors' HEAR module
            does; then an embedding depends on the other clips of its batch, so this is for parity only.
        short: how less than a window is encoded: "crop" at its own length, with the first positions of each row;
            "pad" at full length, filled up with the mean, as the authors' HEAR module does.
        pool: how frames become a scene embedding.
        layers: the layers that an embedding concatenates by default; the last alone if None.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    bands: int = 80
    frames: int = 208
    patch: tuple[int, int] = (16, 16)
    cls: bool = True
    sample_rate: int = 16000
    mean: float = LOG_MEL.mean
    std: float = LOG_MEL.std
    normalisation: Literal["fixed", "batch"] = "fixed"
    short: Literal["crop", "pad"] = "crop"
    pool: Pool = "mean"
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.normalisation not in ("fixed", "batch"):
            raise ValueError(f'normalisation={self.normalisation!r}: choose "fixed", "batch" or a pair [mean, std]')
        check(self, positive=POSITIVE, deep=("depth",))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(layer_numbers(self.layers, self.depth)))
        object.__setattr__(self, "patch", tuple(self.patch))
        for name, size, patch in (("bands", self.bands, self.patch[0]), ("frames", self.frames, self.patch[1])):
            if size % patch:
                raise ValueError(f"{name}={size} is not a multiple of the patch's {patch}")
        if not self.std > 0:
            raise ValueError(f"std must be positive, got {self.std}")

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """The configuration of a named size ("tiny", "small", "base"), with changes."""
        width, depth, heads = SIZES[size]
        return cls(width=width, depth=depth, heads=heads, **changes)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows (frequency) and columns (time) of patches in a full window."""
        return self.bands // self.patch[0], self.frames // self.patch[1]


class MsmMae(Encoder):
    """The encoder half of the autoencoder, on whole windows; training adds masking and the decoder from outside."""

    config: Config
    positions: Tensor

    def __init__(self, config: Config) -> None:
        rows, columns = config.grid
        front = LogMel(config.sample_rate, config.bands)
        super().__init__(
            config,
            Geometry(config.sample_rate, front.hop, front.origin, config.patch[1], columns),
            depth=config.depth,
            layers=config.layers,
            pool=config.pool,
            pad_short=config.short == "pad",
        )
        self.front = front
        self.embed = Linear(config.patch[0] * config.patch[1], config.width)
        self.cls = nn.Parameter(torch.zeros(config.width)) if config.cls else None
        self.register_buffer("positions", sincos_2d(rows, columns, config.width), persistent=False)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def count(self, samples: int) -> int:
        return self.front.count(samples)

    def clip_context(self, audio: Tensor) -> ClipContext:
        """With ``normalisation="batch"``: mean and unbiased standard deviation over the whole batch, (batch, 2)."""
        if self.config.normalisation == "fixed":
            return None
        total, frames = self.count(audio.shape[1]), self.config.frames
        sums = torch.zeros(2, dtype=torch.float64)
        for start in range(0, total, frames):
            part = self.front(audio, start, min(start + frames, total)).double()
            sums += torch.stack([part.sum(), part.square().sum()]).cpu()
        n = len(audio) * total * self.config.bands
        return moments(sums, n).expand(len(audio), 2)

    def statistics(self) -> Statistics | None:
        """With ``normalisation="batch"``: mean and deviation over all frames so far."""
        return None if self.config.normalisation == "fixed" else RunningMoments(self.front)

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """Waveforms (batch, samples) -> normalised log-mel frames start..stop, (batch, stop - start, bands)."""
        logmel = self.front(audio, start, stop)
        if clip_context is None:
            return (logmel - self.config.mean) / self.config.std
        mean, std = clip_context.to(logmel.device)[:, :, None, None].unbind(1)
        return (logmel - mean) / std

    def tokens(self, features: Tensor) -> Tensor:
        """Features (batch, frames, bands) -> patch tokens with their positions, (batch, rows * columns, width).

        Fewer frames than a window take the first columns of every row of the position table.
        """
        short = -features.shape[1] % self.config.patch[1]
        if short:
            features = nn.functional.pad(features, (0, 0, 0, short))
        tokens = self.embed(patchify(features, self.config.patch))
        if tokens.shape[2] > self.positions.shape[1]:
            raise ValueError(f"{features.shape[1]} frames do not fit into a window of {self.config.frames}")
        return rearrange(tokens + self.positions[:, : tokens.shape[2]], "b f t d -> b (f t) d")

    def run(self, tokens: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Tokens -> outputs of the given blocks, CLS first; those of the last block are normalised."""
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(tokens.shape[0], 1, -1), tokens], dim=1)
        outputs = {}
        for number, block in enumerate(self.blocks[: max(layers)], start=1):
            tokens = block(tokens)
            if number in layers:
                outputs[number] = tokens if number < self.depth else self.norm(tokens)
        return [outputs[number] for number in layers]

    def layer_dim(self, layer: int) -> int:
        return self.config.grid[0] * self.config.width

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> Tensor:
        first = 0 if self.cls is None else 1
        outputs = torch.stack(self.run(self.tokens(features), layers))
        return rearrange(outputs[:, :, first:], "l b (f t) d -> l b t (f d)", f=self.config.grid[0])


def moments(sums: Tensor, n: int) -> Tensor:
    """Sum and sum of squares of n values, (2,), float64 -> mean and unbiased standard deviation, (2,), float32."""
    mean = sums[0] / n
    variance = (sums[1] - n * mean**2) / (n - 1)
    std = variance.clamp(min=1e-8).sqrt()  # silence has none; the authors' code answers NaN there
    return torch.stack([mean, std]).float()


class RunningMoments:
    """Mean and standard deviation of the log-mel values of a clip that comes in blocks."""

    def __init__(self, front: LogMel) -> None:
        self.bands = front.bands
        self.frames = FeatureStream(
            lambda audio, start, stop, _: front(audio, start, stop), front.count, front.hop, front.reach
        )
        self.sums, self.done = torch.zeros(2, dtype=torch.float64), 0

    def add(self, audio: Tensor) -> None:
        """The next samples, (1, samples)."""
        self.frames.add(audio)
        if self.frames.ready > self.done:
            part = self.frames(self.done, self.frames.ready).double()
            self.sums += torch.stack([part.sum(), part.square().sum()]).cpu()
            self.done = self.frames.ready
            self.frames.drop(self.done)

    def value(self, ended: bool) -> Tensor:
        """Those so far, (1, 2)."""
        if ended and not self.frames.ended:
            self.frames.ended = True
            self.add(torch.zeros(1, 0))
        return moments(self.sums, self.done * self.bands)[None]


def build(config: dict[str, Any]) -> MsmMae:
    """An encoder with random weights, from the fields of a ``Config``; ``normalisation`` may be a pair [mean, std]."""
    pair = config.get("normalisation")
    pair = pair.tolist() if isinstance(pair, (np.ndarray, Tensor)) else pair
    if isinstance(pair, (list, tuple)):
        if len(pair) != 2:
            raise ValueError(f"normalisation={pair!r}: a pair [mean, std] was expected")
        config = {**config, "normalisation": "fixed", "mean": pair[0], "std": pair[1]}
    return MsmMae(Config(**config))


def load_model(source: str = "", **options: Any) -> Model:
    """HEAR: an MSM-MAE model by name, path or ``hf://OWNER/REPO@REVISION/FILE``; the default MSM-MAE without a source.

    Args:
        pool: "mean" over time, or "mean+std" for twice the size; by default the model's own.
        layers: the blocks to concatenate, such as ``[6, 12]`` or ``[-1]``.
        hop_ms: step between timestamps, such as 40 (the default), 20 or 10.
        precision: "fp32", "bf16" or "auto", bf16 on CUDA alone.
        batch_size: windows of one forward; bounds the memory.

    For research and parity (docs/msm-mae.md): hop, normalisation, short.
    """
    return weights.load_model(source, method=METHOD, **options)
