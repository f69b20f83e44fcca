"""A fifth method in one file, as small as a method can be: a transformer on columns of log-mel values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hear_audioformer import weights
from hear_audioformer.embedder import Embedder, get_scene_embeddings, get_timestamp_embeddings
from hear_audioformer.encoder import ClipContext, Encoder
from hear_audioformer.features import LogMel
from hear_audioformer.fields import check
from hear_audioformer.layers import Block, Linear
from hear_audioformer.windows import Geometry

__all__ = ["Config", "Toy", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

METHOD = "toy"
OPTIONS = ()
SIZES = {"tiny": (16, 2)}  # width, depth


@dataclass(frozen=True)
class Config:
    """Everything that makes one toy encoder."""

    width: int = 16
    depth: int = 2
    bands: int = 16
    frames: int = 96
    patch: int = 16
    sample_rate: int = 16000
    mean: float = -7.1
    std: float = 4.2
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check(self, positive=("width", "depth", "bands", "frames", "patch", "sample_rate"), deep=("depth",))

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """The configuration of a named size."""
        width, depth = SIZES[size]
        return cls(width=width, depth=depth, **changes)


class Toy(Encoder):
    """One token for each column of ``patch`` frames."""

    config: Config

    def __init__(self, config: Config) -> None:
        front = LogMel(config.sample_rate, config.bands)
        columns = config.frames // config.patch
        geometry = Geometry(config.sample_rate, front.hop, front.origin, config.patch, columns)
        super().__init__(config, geometry, depth=config.depth, layers=config.layers)
        self.front = front
        self.embed = Linear(config.patch * config.bands, config.width)
        self.blocks = nn.ModuleList(Block(config.width, heads=2) for _ in range(config.depth))

    def layer_dim(self, layer: int) -> int:
        return self.config.width

    def count(self, samples: int) -> int:
        return self.front.count(samples)

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        return (self.front(audio, start, stop) - self.config.mean) / self.config.std

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> list[Tensor]:
        padded = nn.functional.pad(features, (0, 0, 0, -features.shape[1] % self.config.patch))
        states = [self.embed(padded.unflatten(1, (-1, self.config.patch)).flatten(2))]
        for block in self.blocks[: max(layers)]:
            states.append(block(states[-1]))
        return [states[layer] for layer in layers]


def build(config: dict[str, Any]) -> Toy:
    """An encoder with random weights."""
    return Toy(Config(**config))


def load_model(source: str = "", **options: Any) -> Embedder:
    """HEAR: a toy model from a weight file."""
    return weights.load_model(source, method=METHOD, **options)
