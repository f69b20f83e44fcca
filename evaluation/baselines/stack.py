"""Shared by the plain baselines: an encoder without a network, and a model of two encoders."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hear_audioformer.embedder import Embedder
from hear_audioformer.encoder import Encoder, Pool
from hear_audioformer.windows import Geometry


@dataclass(frozen=True)
class Config:
    """What makes a baseline.

    Attributes:
        dim: width of a frame.
        pool: how frames become a scene embedding.
    """

    dim: int
    pool: Pool = "mean"


class Plain(Encoder):
    """An encoder whose frames are its features, ``geometry.patch`` of them concatenated."""

    config: Config

    def __init__(self, config: Config, geometry: Geometry) -> None:
        super().__init__(config, geometry, depth=1, pool=config.pool)
        self.blocks = nn.ModuleList()

    def layer_dim(self, layer: int) -> int:
        return self.config.dim

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> Tensor:
        """(batch, features, bands) -> (layers, batch, frames, patch * bands)."""
        short = -features.shape[1] % self.geometry.patch
        stacked = nn.functional.pad(features, (0, 0, 0, short)).unflatten(1, (-1, self.geometry.patch)).flatten(2)
        return stacked.expand(len(layers), -1, -1, -1)


class TwoEncoders(nn.Module):
    """A model with one encoder for scenes and another for timestamps, each in the package's ``Embedder``."""

    def __init__(self, scenes: Encoder, times: Encoder, hop_ms: float) -> None:
        super().__init__()
        self.scenes = Embedder(scenes, precision="fp32")
        self.times = Embedder(times, hop_ms=hop_ms, precision="fp32")
        self.sample_rate = self.scenes.sample_rate
        self.scene_embedding_size = self.scenes.scene_embedding_size
        self.timestamp_embedding_size = self.times.timestamp_embedding_size

    def forward(self, audio: Tensor) -> Tensor:
        """The same as ``get_scene_embeddings``."""
        return self.scenes.scene(audio)


def get_scene_embeddings(audio: Tensor, model: TwoEncoders) -> Tensor:
    """HEAR: (n_sounds, model.scene_embedding_size)."""
    return model.scenes.scene(audio)


def get_timestamp_embeddings(audio: Tensor, model: TwoEncoders) -> tuple[Tensor, Tensor]:
    """HEAR: (n_sounds, n_timestamps, model.timestamp_embedding_size), and centres in ms, (n_sounds, n_timestamps)."""
    return model.times.timestamps(audio)


def constant(value: float | Tensor) -> nn.Parameter:
    """A parameter without gradient. It moves with the model, and the embedder reads the device from it."""
    return nn.Parameter(torch.as_tensor(value), requires_grad=False)
