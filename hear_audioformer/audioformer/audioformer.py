"""AudioFormer: a codec turns sound into sequences of codes, and masked language models encode them.

Li, Wang and Jiang, "AudioFormer: Audio Transformer learns audio feature representations from discrete acoustic codes"
(arXiv 2308.07221). This module is a HEAR module by itself: ``load_model``, ``get_scene_embeddings``,
``get_timestamp_embeddings``.

A frame is one step of the codec: the hidden states of its codes in all codebooks, side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from .. import weights
from ..checkpoint import WeightsError
from ..codec import COMPACT_16K, PRESETS, Codec
from ..codec import Config as CodecConfig
from ..encoder import ClipContext, Encoder, layer_numbers
from ..feature_stream import FeatureStream, Statistics
from ..fields import check
from ..model import Model, get_scene_embeddings, get_timestamp_embeddings
from ..windows import Geometry
from .codes import CodeStream
from .language import Arch, Backbone, Sizes, layers_of

__all__ = ["Audioformer", "Config", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

METHOD = "audioformer"
OPTIONS = ("codebooks", "combine", "average")  # fields of Config that a user may change of a trained model
SIZES = {"tiny": (256, 6, 4), "small": (384, 8, 6), "base": (768, 12, 12)}  # width, depth, heads
WIDEST = 4096  # the widest frame for which combine="auto" concatenates codebooks

Index = TypeVar("Index", int, Tensor)
Layout = Literal["shared", "separate", "summed"]
Pool = Literal["mean", "mean+std", "tokens"]


@dataclass(frozen=True)
class Config:
    """Everything that makes one AudioFormer encoder.

    Attributes:
        width, depth, heads, hidden, arch: the transformer; ``hidden`` is the width inside an MLP, 0 for 4 * width.
        layout: "separate": a model for each codebook, as published. "shared": one model with a type embedding for each
            codebook. "summed": one model that reads the sum of all codebooks' words in every frame.
        trained: number of codebooks in training.
        codebooks: how many of them are read, 0 for all; fewer are faster and less exact.
        combine: "concat" puts the codebooks' vectors side by side, "mean" averages them; "auto" is "concat" up to a
            width of 4096, else "mean".
        average: the last layer stands for the mean of so many last layers; by itself it is specialised in predicting
            codes.
        window: frames of one window, as in training.
        boa, pad, eoa, mask, code_offset: ids of the first token, padding, the last token, a masked token, and code 0.
        dropout: in training.
        codec: the codec's configuration, or its name; ``codec_id`` and ``codec_hash`` identify the codec of training.
        pool: how frames become a scene embedding: "mean", "mean+std", or "tokens", the mean over a window's first and
            last token too.
        layers: the layers that an embedding concatenates by default; the last alone if None.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 0
    arch: Arch = "roformer"
    layout: Layout = "shared"
    trained: int = 4
    codebooks: int = 0
    combine: Literal["auto", "concat", "mean"] = "auto"
    average: int = 4
    window: int = 500
    boa: int = 0
    pad: int = 1
    eoa: int = 2
    mask: int = 3
    code_offset: int = 4
    dropout: float = 0.1
    codec: CodecConfig = field(default=COMPACT_16K)
    codec_id: str = ""
    codec_hash: str = ""
    pool: Pool = "mean"
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        codec = _codec_config(self.codec)
        object.__setattr__(self, "codec", codec)
        check(self, positive=("width", "depth", "heads", "trained", "average", "window"), deep=("depth", "trained"))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(layer_numbers(self.layers, self.depth)))
        object.__setattr__(self, "codec", replace(codec, codebooks=self.trained))
        object.__setattr__(self, "hidden", self.hidden or 4 * self.width)
        object.__setattr__(self, "codebooks", self.codebooks or self.trained)
        if not 0 < self.codebooks <= self.trained:
            raise ValueError(f"codebooks={self.codebooks}: this model can read 1 to {self.trained}")
        if not 0 < self.average <= self.depth:
            raise ValueError(f"average={self.average}: this model has {self.depth} layers")
        if codec.hop % 2:
            raise ValueError(f"the codec's frames of {codec.hop} samples have no sample in their middle")
        reserved = {self.boa, self.pad, self.eoa, self.mask}
        codes = range(self.code_offset, self.code_offset + self.tables * codec.codes)
        if len(reserved) < 4 or any(token in codes for token in reserved):
            raise ValueError("boa, pad, eoa, mask and the codes must not share ids")

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """The configuration of a named size ("tiny", "small", "base"), with changes."""
        width, depth, heads = SIZES[size]
        return cls(width=width, depth=depth, heads=heads, **changes)

    @property
    def backbones(self) -> int:
        """Language models in a checkpoint."""
        return self.trained if self.layout == "separate" else 1

    @property
    def sequences(self) -> int:
        """Sequences that one clip is read as."""
        return 1 if self.layout == "summed" else self.codebooks

    @property
    def tables(self) -> int:
        """Codebooks whose words stand in one table."""
        return 1 if self.layout == "separate" else self.trained

    @property
    def concatenated(self) -> bool:
        """Whether the vectors of several sequences stand side by side."""
        return self.combine == "concat" or (self.combine == "auto" and self.sequences * self.width <= WIDEST)

    def sizes(self) -> Sizes:
        """Those of one backbone."""
        specials = (self.boa, self.pad, self.eoa, self.mask)
        vocabulary = max(self.code_offset + self.tables * self.codec.codes, *(token + 1 for token in specials))
        kinds = self.trained if self.layout == "shared" else 1
        return Sizes(
            self.width,
            self.depth,
            self.heads,
            self.hidden,
            vocabulary,
            kinds,
            positions=self.window + 2,
            arch=self.arch,
            dropout=self.dropout,
        )


class Audioformer(Encoder):
    """The codec and the language models. Training adds heads and masks."""

    exact = fixed = ("codec.",)  # codes of a rounded codec are not those that the models have learnt
    pools = get_args(Pool)
    config: Config

    def __init__(self, config: Config) -> None:
        hop = config.codec.hop
        super().__init__(
            config,
            Geometry(config.codec.sample_rate, hop, hop // 2, 1, config.window, max(1, config.window // 2)),
            depth=config.depth,
            layers=config.layers,
            pool=config.pool,
            towers=tuple(f"backbones.{number}" for number in range(config.backbones)),
        )
        self.codec = Codec(config.codec).eval().requires_grad_(False)
        self.backbones = nn.ModuleList(Backbone(config.sizes()) for _ in range(config.backbones))
        self.register_load_state_dict_post_hook(_check_codec)

    def layer_dim(self, layer: int) -> int:
        return self.config.width * (self.config.sequences if self.config.concatenated else 1)

    @property
    def blocks(self) -> nn.ModuleList:  # type: ignore[override]  # not a module of its own
        """The first model's layers."""
        return self.backbone(0).blocks

    def backbone(self, sequence: int) -> Backbone:
        """The language model that reads a sequence."""
        return cast(Backbone, self.backbones[sequence if self.config.layout == "separate" else 0])

    def requires_grad_(self, requires_grad: bool = True) -> "Audioformer":
        """Applies to the models that are read; the codec is never trained with them."""
        super().requires_grad_(requires_grad)
        for part in (self.codec, *self.backbones[self.config.sequences :]):
            part.requires_grad_(False)
        return self

    def adopt(self, codec: Codec, name: str) -> None:
        """Takes over the codebooks of a trained codec that this model reads, and records their hash."""
        adopted = codec.first(self.config.trained)
        if adopted.config != self.config.codec:
            raise ValueError(f"the codec {name} is {adopted.config}, but this model was made for {self.config.codec}")
        self.codec.load_state_dict(adopted.state_dict())
        self.config = replace(self.config, codec_id=name, codec_hash=self.codec.codebook_hash())

    def count(self, samples: int) -> int:
        return self.codec.count(samples)

    def clip_context(self, audio: Tensor) -> ClipContext:
        """The codes of whole clips, (batch, frames, codebooks); a code depends on all samples before it."""
        return self.codec(audio, self.config.codebooks).mT.int()

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """Codes of frames start..stop, (batch, stop - start, codebooks)."""
        codes = self.clip_context(audio) if clip_context is None else clip_context
        assert codes is not None
        return codes[:, start:stop]

    @property
    def reach(self) -> tuple[int, int]:
        return 0, self.codec.reach

    def statistics(self) -> Statistics | None:
        """None: codes, which ``clip_context`` gives, come with the features."""
        return None

    def stream_features(self, statistics: Statistics | None = None, *, live: bool) -> FeatureStream:
        return CodeStream(self.codec, self.config.codebooks, whole=not live)

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> Tensor:
        return self._tokens(features, layers)[:, :, 1:-1]

    def pooled_layers(self, features: Tensor, layers: Sequence[int], pool: str) -> Tensor:
        """For "tokens", the authors' pooling: frames shifted to the mean of all tokens of their window."""
        tokens = self._tokens(features, layers)
        frames = tokens[:, :, 1:-1]
        return frames + (tokens.mean(2) - frames.mean(2))[:, :, None] if pool == "tokens" else frames

    def _tokens(self, features: Tensor, layers: Sequence[int]) -> Tensor:
        """Frames with the first and the last token, (layers, batch, frames + 2, dim)."""
        if features.shape[1] > self.config.window:
            raise ValueError(f"{features.shape[1]} frames do not fit into a window of {self.config.window}")
        outputs = []
        for sequence in range(self.config.sequences):
            states = self.read(features.long(), sequence)
            outputs.append(torch.stack(layers_of(states, layers, self.config.average)))
        return torch.cat(outputs, dim=-1) if self.config.concatenated else torch.stack(outputs).mean(0)

    def read(self, codes: Tensor, sequence: int, hidden: Tensor | None = None) -> list[Tensor]:
        """All hidden states of one sequence of each clip, first and last token included.

        Args:
            codes: (batch, frames, codebooks).
            sequence: which codebook is read, counted from 0; 0 where all are read at once.
            hidden: True where a frame is masked, (batch, frames).
        """
        words = self.words(codes, sequence, hidden)
        return self.backbone(sequence)(words, sequence if self.config.layout == "shared" else 0)

    def words(self, codes: Tensor, sequence: int, hidden: Tensor | None = None) -> Tensor:
        """Word vectors of a sequence between its first and last token, (batch, frames + 2, width).

        Negative codes are masked ones.
        """
        config = self.config
        absent = (codes < 0).any(-1)
        hidden, codes = absent if hidden is None else hidden | absent, codes.clamp(min=0)
        backbone = self.backbone(sequence)
        if config.layout == "summed":
            ids = codes + self.rows(torch.arange(codes.shape[2], device=codes.device))
            inner = backbone.words(ids).sum(2)
        else:
            inner = backbone.words(codes[..., sequence] + self.rows(sequence))
        masked, first, last = backbone.words(codes.new_tensor([config.mask, config.boa, config.eoa]))
        inner = torch.where(hidden[..., None], masked, inner)
        ends = [end.expand(codes.shape[0], 1, -1) for end in (first, last)]
        return torch.cat([ends[0], inner, ends[1]], dim=1)

    def rows(self, codebook: Index) -> Index:
        """The first row of a codebook's words in its table."""
        codes = 0 if self.config.layout == "separate" else self.config.codec.codes
        return self.config.code_offset + codebook * codes


def _codec_config(codec: CodecConfig | str | dict[str, Any]) -> CodecConfig:
    """A codec's configuration, by name, or from the fields in a header."""
    if isinstance(codec, dict):
        return CodecConfig(**codec)
    if isinstance(codec, str):
        if codec not in PRESETS:
            raise ValueError(f"codec={codec!r} is not one of {', '.join(PRESETS)}")
        return PRESETS[codec]
    return codec


def build(config: dict[str, Any]) -> Audioformer:
    """An encoder with random weights and an empty codec, from the fields of a ``Config``."""
    return Audioformer(Config(**config))


def load_model(source: str = "", **options: Any) -> Model:
    """HEAR: an AudioFormer by name, path or ``hf://OWNER/REPO@REVISION/FILE``; the default one without a source.

    Args:
        pool: "mean" over time, "mean+std" for twice the size, or "tokens"; by default the model's own.
        layers: the layers to concatenate, such as ``[3, 6]`` or ``[-1]``.
        hop_ms: step between timestamps; the codec has one, 20 ms in the bundled models.
        precision: "fp32", "bf16" or "auto", bf16 on CUDA alone.
        batch_size: windows of one forward; bounds the memory.
        codebooks: how many of the trained codebooks are read; fewer are faster and less exact.

    For research and parity (docs/audioformer.md): hop, combine, average.
    """
    return weights.load_model(source, method=METHOD, **options)


def _check_codec(encoder: Audioformer, _: Any) -> None:
    """Refuses weights whose codec is not the one that the models were trained with."""
    expected = encoder.config.codec_hash
    actual = encoder.codec.codebook_hash() if expected else ""
    if actual != expected:
        name = encoder.config.codec_id or "its codec"
        raise WeightsError(
            f"the codebooks are not those of {name}: they have sha256 {actual}, the model was trained with {expected}; "
            "codes of another codec mean nothing to it"
        )
