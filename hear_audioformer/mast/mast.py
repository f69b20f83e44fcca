"""MAST: a transformer on Kaldi filter banks. Each stage pools its tokens, first along time and then along both axes.

Zhu and Omar, "Multiscale Audio Spectrogram Transformer for Efficient Audio Classification", ICASSP 2023 (arXiv
2303.10757). This module is a HEAR module by itself: ``load_model``, ``get_scene_embeddings``,
``get_timestamp_embeddings``.

The authors published neither code nor the sizes of their stages. The block is MViTv2's pooling attention, on which the
paper builds. The sizes here give the ratios to AST's parameters and products that the paper states.

A layer is a stage. A frame is the means over frequency of the four stages side by side: the first stage has tokens of
40 ms, the last has the most context. With ``rows`` a frame keeps low and high frequencies apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any, Literal, get_args

from einops import reduce
from torch import Tensor, nn
from torch.nn import functional as F

from .. import weights
from ..encoder import ClipContext, Encoder, layer_numbers
from ..features import FILTER_BANK, KaldiFilterBank
from ..fields import check
from ..model import Model, get_scene_embeddings, get_timestamp_embeddings
from ..windows import Geometry, between
from .block import PooledBlock, Shape, pooled_size
from .positions import Positions, Size

__all__ = ["Config", "Mast", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

METHOD = "mast"
OPTIONS = ("positions", "overlap", "rows")  # fields of Config that a user may change of a trained model
SIZES = {  # width of the first stage, blocks of each
    "nano": (32, (1, 1, 2, 1)),
    "tiny": (64, (1, 2, 5, 2)),
    "small": (96, (1, 2, 11, 2)),
    "base": (96, (2, 2, 15, 3)),
    "base24": (96, (2, 3, 16, 3)),
}
Pool = Literal["mean", "mean+std", "tokens"]
POSITIVE = (
    *("width", "heads", "depths", "mlp_ratio", "bands", "frames"),
    *("stem_kernel", "stem_stride", "query_strides", "key_stride", "sample_rate"),
)


@dataclass(frozen=True)
class Config:
    """Everything that makes one MAST encoder. Sizes and strides are (frequency, time).

    Attributes:
        width, heads: of the first stage; each stage doubles both.
        depths: blocks of each stage.
        mlp_ratio: of every block.
        bands, frames: the input that the position tables are made for; frames of 10 ms.
        stem_kernel, stem_stride: of the convolution that makes tokens.
        query_strides: strides at which the stages after the first pool their queries, and so their tokens.
        key_stride: stride at which the first stage pools keys and values; later ones divide it by their query strides.
        relative: whether there are relative positions; without them there are none at all but the convolutions' own.
        positions: relative positions beyond ``frames``: "clamp" repeats the last row, "stretch" resizes the table.
        sample_rate: in Hz.
        mean, std: of the filter bank; values are divided by twice the deviation, as AST does.
        pool: how a clip becomes a scene embedding: "tokens" the mean over each stage's own tokens, "mean" and
            "mean+std" those of the frames.
        rows: parts of the frequency axis that a frame has side by side, each averaged; 1 averages over all of it.
        overlap: whether the windows of a long clip overlap by half, weighted by triangles; without, they lie side by
            side and cost half.
        layers: the stages that an embedding concatenates by default; all if None.
    """

    width: int = 96
    heads: int = 1
    depths: tuple[int, ...] = (2, 2, 15, 3)
    mlp_ratio: float = 4.0
    bands: int = 128
    frames: int = 1024
    stem_kernel: Size = (11, 7)
    stem_stride: Size = (8, 4)
    query_strides: tuple[Size, ...] = ((1, 2), (2, 2), (2, 2))
    key_stride: Size = (4, 4)
    relative: bool = True
    positions: Positions = "clamp"
    sample_rate: int = 16000
    mean: float = FILTER_BANK.mean
    std: float = FILTER_BANK.std
    pool: Pool = "tokens"
    rows: int = 1
    overlap: bool = True
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check(self, positive=POSITIVE, deep=("depths",))
        if not self.depths:
            raise ValueError("depths=(): a model has at least one stage")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(layer_numbers(self.layers, len(self.depths))))
        for name in ("depths", "stem_kernel", "stem_stride", "key_stride"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "query_strides", tuple(tuple(stride) for stride in self.query_strides))
        if len(self.query_strides) != len(self.depths) - 1:
            raise ValueError(f"{len(self.depths)} stages need {len(self.depths) - 1} query_strides between them")
        if not all(step in (1, 2) for stride in self.query_strides for step in stride):
            raise ValueError(f"query_strides={self.query_strides} must be 1 or 2: a stage halves an axis or keeps it")
        if self.frames % self.stem_stride[1]:
            raise ValueError(f"frames={self.frames} is not a multiple of the stem's stride {self.stem_stride[1]}")
        if not all(size % 2 for size in self.stem_kernel):
            raise ValueError(f"stem_kernel={self.stem_kernel} must be odd, so that tokens have a centre")
        if not self.std > 0:
            raise ValueError(f"std must be positive, got {self.std}")
        sizes = {pooled_size(shape.grid, shape.query_stride)[0] for shape in self.shapes()}
        if self.rows < 1 or any(size % self.rows for size in sizes):
            raise ValueError(f"rows={self.rows} does not divide all of the stages' {sorted(sizes)} tokens of a moment")

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """The configuration of a named size ("nano", "tiny", "small", "base", "base24"), with changes."""
        width, depths = SIZES[size]
        return cls(**{"width": width, "depths": depths, **changes})

    def shapes(self) -> list[Shape]:
        """All blocks, in order."""
        grid, dim, key = pooled_size((self.bands, self.frames), self.stem_stride), self.width, self.key_stride
        shapes = []
        for stage, depth in enumerate(self.depths):
            stride: Size = self.query_strides[stage - 1] if stage else (1, 1)
            kernel = (1 + 2 * (stride[0] > 1), 1 + 2 * (stride[1] > 1)) if stage else (3, 3)
            key = max(1, key[0] // stride[0]), max(1, key[1] // stride[1])
            for _ in range(depth):
                out, heads = self.width << stage, self.heads << stage
                shape = Shape(grid, dim, out, heads, stride, kernel, key, (3, 3), self.relative, self.positions)
                shapes.append(shape)
                grid, dim, stride, kernel = pooled_size(grid, stride), out, (1, 1), (3, 3)
        return shapes


class Mast(Encoder):
    """The hierarchy without a class layer, which training adds.

    AST's code removes the mean of the waveform. Nothing does so here: Kaldi's frames each remove their own.
    """

    pools = get_args(Pool)
    config: Config

    def __init__(self, config: Config) -> None:
        front = KaldiFilterBank(config.sample_rate, config.bands)
        step = config.stem_stride[1]
        columns = config.frames // step
        # A token's centre is that of the first frame under it, not of the middle one: kernels are odd and centred.
        origin = front.origin - front.hop * (step - 1) // 2
        stride = columns // 2 if config.overlap else 0
        depth = len(config.depths)
        super().__init__(
            config,
            Geometry(config.sample_rate, front.hop, origin, step, columns, stride),
            depth=depth,
            layers=config.layers or range(1, depth + 1),
            pool=config.pool,
        )
        padding = config.stem_kernel[0] // 2, config.stem_kernel[1] // 2
        self.front = front
        self.stem = nn.Conv2d(1, config.width, config.stem_kernel, config.stem_stride, padding)
        self.blocks = nn.ModuleList(PooledBlock(shape, config.mlp_ratio) for shape in config.shapes())
        self.ends = tuple(accumulate(config.depths))  # how many blocks have run when a stage ends
        self.norm = nn.LayerNorm(config.width << depth - 1, eps=1e-6)
        self.steps = list(accumulate((1, *(time for _, time in config.query_strides)), mul))  # frames of one token

    def layer_dim(self, layer: int) -> int:
        return self.config.rows * self.config.width << layer - 1

    def count(self, samples: int) -> int:
        return self.front.count(samples)

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """Waveforms (batch, samples) -> normalised filter bank frames start..stop, (batch, stop - start, bands)."""
        return (self.front(audio, start, stop) - self.config.mean) / (2 * self.config.std)

    def stages(self, features: Tensor, layers: Sequence[int] | None = None) -> list[Tensor]:
        """Features (batch, frames, bands) -> normalised tokens of the stages, each (batch, frequency, time, dim)."""
        layers = self.layers if layers is None else layers
        image = self.stem(features.mT[:, None])
        tokens, grid = image.flatten(2).mT.contiguous(), (image.shape[2], image.shape[3])
        outputs = {}
        for number, block in enumerate(self.blocks[: self.ends[max(layers) - 1]], start=1):
            assert isinstance(block, PooledBlock)
            tokens, grid = block(tokens, grid), pooled_size(grid, block.stride)
            if number in self.ends:
                outputs[1 + self.ends.index(number)] = self._normed(tokens, number).unflatten(1, grid)
        return [outputs[layer] for layer in layers]

    def _normed(self, tokens: Tensor, number: int) -> Tensor:
        """The output of a stage, normalised; only the last stage's norm has parameters."""
        return self.norm(tokens) if number == len(self.blocks) else F.layer_norm(tokens, tokens.shape[2:], eps=1e-6)

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> list[Tensor]:
        count = -(-features.shape[1] // self.config.stem_stride[1])
        stages = zip(layers, self.stages(features, layers), strict=True)
        return [between(self._moments(tokens), self.steps[layer - 1], count) for layer, tokens in stages]

    def pooled_layers(self, features: Tensor, layers: Sequence[int], pool: str) -> list[Tensor]:
        if pool != "tokens":
            return self.encode_layers(features, layers)
        count = -(-features.shape[1] // self.config.stem_stride[1])
        return [self._moments(tokens).mean(1, True).expand(-1, count, -1) for tokens in self.stages(features, layers)]

    def _moments(self, tokens: Tensor) -> Tensor:
        """Tokens (batch, frequency, time, dim) -> means of the rows side by side, (batch, time, rows * dim)."""
        return reduce(tokens, "b (r f) t d -> b t (r d)", "mean", r=self.config.rows)


def build(config: dict[str, Any]) -> Mast:
    """An encoder with random weights, from the fields of a ``Config``."""
    return Mast(Config(**config))


def load_model(source: str = "", **options: Any) -> Model:
    """HEAR: a MAST model by name, path or ``hf://OWNER/REPO@REVISION/FILE``; the default MAST without a source.

    Args:
        pool: "mean", "mean+std", or "tokens", the mean over each stage's tokens; by default the model's own.
        layers: the stages to concatenate, such as ``[1, 2, 3]``.
        hop_ms: step between timestamps, such as 40 (the default), 20 or 10.
        precision: "fp32", "bf16" or "auto", bf16 on CUDA alone.
        batch_size: windows of one forward; bounds the memory.
        overlap: whether the windows of long clips overlap; False halves the cost.
        rows: parts of the frequency axis that a frame keeps apart: 1, 2 or 4.

    For research and parity (docs/mast.md): hop, positions.
    """
    return weights.load_model(source, method=METHOD, **options)
