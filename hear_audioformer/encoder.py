"""What an encoder is: the contract between a method and everything that uses its models.

A method subclasses ``Encoder``. It states its facts and its configuration, and it defines the functions from waveform
to features and from features to the frames of its layers. ``Embedder`` cuts, batches, blends and pools. All other code
uses an encoder by this contract alone.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import Field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from .feature_stream import FeatureStream, Statistics
from .features import FrontEnd
from .fields import is_whole
from .windows import Geometry

if TYPE_CHECKING:
    from .embedder import Embedder
    from .model import Model

Pool = Literal["mean", "mean+std"]  # every method has these
ClipContext = Tensor | None


class Configuration(Protocol):
    """A frozen dataclass: everything that makes one network. A weight file's header holds its fields."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


class MethodConfiguration(Configuration, Protocol):
    """The configuration of a method, which has named sizes."""

    def __init__(self, **fields: Any) -> None: ...

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "MethodConfiguration":
        """The configuration of a named size, with changes."""


class Network(nn.Module):
    """What a weight file holds: an ``Encoder``, a composition of models, or a part of encoders such as a codec.

    Attributes:
        config: everything that makes it.
        exact: prefixes of the names of tensors that are exported in float32; all others are rounded to float16.
        fixed: prefixes of the names of tensors that training never changes. An encoder with random weights takes them
            from a file.
        undecayed: names of its own parameters that weight decay leaves alone.
        pools: the ways to pool frames into a scene embedding; a part has none.
    """

    config: Configuration
    exact: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    undecayed: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()

    @property
    def sample_rate(self) -> int:
        """Hz."""
        raise NotImplementedError

    def model(self, **options: Any) -> "Model":
        """The model that embeds with this network, with the options of ``load_model``; a part makes none."""
        raise NotImplementedError


class Method(Protocol):
    """The module of a method, or of a part such as a codec."""

    @property
    def METHOD(self) -> str:  # noqa: N802
        """Its name in weight files."""

    @property
    def OPTIONS(self) -> tuple[str, ...]:  # noqa: N802
        """The fields of ``Config`` that a user may change of a trained model."""

    @property
    def SIZES(self) -> Collection[str]:  # noqa: N802
        """Names of its sizes."""

    @property
    def Config(self) -> type[MethodConfiguration]:  # noqa: N802
        """The class of its configurations."""

    def build(self, config: dict[str, Any]) -> Network:
        """A network with random weights, from the fields of a ``Config``."""


class Encoder(Network):
    """The base class of all methods' encoders.

    Args:
        config: the method's configuration.
        geometry: how its frames lie over time; sampling rate, window and hop follow from it.
        depth: number of layers.
        layers: the layers that make a frame by default, counted from 1; the last alone if None.
        pool: the default way of pooling, one of ``pools``.
        pad_short: whether a window with too little audio is padded to full length. Otherwise it runs at its own length.
        silence: the value of normalised features where there is no audio.
        towers: names of parallel submodules, each with layers of its own; "" is the encoder itself.

    Attributes:
        blocks: its transformer blocks, first to last; of several towers, those of the first.
    """

    pools = get_args(Pool)
    blocks: nn.ModuleList

    def __init__(
        self,
        config: Configuration,
        geometry: Geometry,
        *,
        depth: int,
        layers: Sequence[int] | None = None,
        pool: str = "mean",
        pad_short: bool = False,
        silence: float = 0.0,
        towers: tuple[str, ...] = ("",),
    ) -> None:
        super().__init__()
        self.config = config
        self.geometry = geometry
        self.depth = depth
        self.layers = tuple(layer_numbers(layers, depth))
        self.pool = pool
        self.pad_short = pad_short
        self.silence = silence
        self.towers = towers

    @property
    def sample_rate(self) -> int:
        return self.geometry.sample_rate

    def model(self, **options: Any) -> "Embedder":
        """This encoder in an ``Embedder``, which is made of encoders and hence imported here."""
        from .embedder import Embedder

        return Embedder(self, **options)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.geometry.patch * self.geometry.step

    @property
    def window(self) -> int:
        """Samples of one window, as in training."""
        return self.geometry.columns * self.hop

    @property
    def dim(self) -> int:
        """Width of a frame: its default layers side by side."""
        return sum(map(self.layer_dim, self.layers))

    def layer_dim(self, layer: int) -> int:
        """Width of a layer's frames."""
        raise NotImplementedError

    def pooled_dim(self, layer: int, pool: str) -> int:
        """Width of a layer's vectors for ``pool``; by default that of its frames."""
        return self.layer_dim(layer)

    def count(self, samples: int) -> int:
        """Feature frames of a clip of this many samples."""
        raise NotImplementedError

    def clip_context(self, audio: Tensor) -> ClipContext:
        """What features need to know of a whole clip, (batch, ...); by default nothing, None.

        Statistics that normalise a clip, or codes that depend on all of its past.
        """
        return None

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """Waveforms (batch, samples) -> normalised feature frames start..stop, (batch, stop - start, ...)."""
        raise NotImplementedError

    @property
    def reach(self) -> tuple[int, int]:
        """Samples before ``k * step``, and from it on, that feature frame k depends on; by default those of ``front``.

        Beside them, a frame may depend on ``clip_context`` and on where the clip begins and ends.
        """
        front = getattr(self, "front", None)
        if not isinstance(front, FrontEnd):
            raise NotImplementedError(f"{type(self).__name__} without a FrontEnd as front must define reach")
        return front.reach

    def statistics(self) -> Statistics | None:
        """What ``clip_context`` says of a clip that comes in blocks; None if features need nothing."""
        if type(self).clip_context is not Encoder.clip_context:
            raise NotImplementedError(f"{type(self).__name__} defines clip_context and so must define statistics")
        return None

    def stream_features(self, statistics: Statistics | None = None, *, live: bool) -> FeatureStream:
        """The features of a clip that comes in blocks.

        Args:
            statistics: those of ``statistics``, running or known from an earlier reading.
            live: whether features are wanted as soon as their samples are there, or else as exact as those of a clip.
        """
        return FeatureStream(self.features, self.count, self.geometry.step, self.reach, statistics)

    def encode_layers(self, features: Tensor, layers: Sequence[int]) -> Iterable[Tensor]:
        """At most one window of features -> the frames of each given layer (1..depth), (batch, frames, dim)."""
        raise NotImplementedError

    def pooled_layers(self, features: Tensor, layers: Sequence[int], pool: str) -> Iterable[Tensor]:
        """The vectors of each given layer whose mean over a clip is its scene embedding; by default the frames.

        A vector that a window has only once, such as its class token, is repeated in every frame. So the mean over a
        clip weighs each window by its length.
        """
        return self.encode_layers(features, layers)

    def encode(self, features: Tensor) -> Tensor:
        """At most one window of features -> (batch, frames, dim)."""
        return torch.cat(list(self.encode_layers(features, self.layers)), dim=-1)

    def forward(self, audio: Tensor) -> Tensor:
        """At most one window of waveform (batch, samples) -> (batch, frames, dim)."""
        return self.encode(self.features(audio, 0, self.count(audio.shape[-1]), self.clip_context(audio)))


def layer_numbers(layers: Sequence[int] | int | None, depth: int) -> list[int]:
    """The layers that a user chose, counted from 1; -1 is the last, and None is the last alone."""
    chosen: Any = [depth] if layers is None else [layers] if is_whole(layers) else layers
    whole = isinstance(chosen, Iterable) and not isinstance(chosen, (str, bytes)) and all(map(is_whole, chosen))
    numbers = [int(depth + 1 + n if n < 0 else n) for n in chosen] if whole else []
    if not numbers or not all(1 <= n <= depth for n in numbers):
        raise ValueError(f"layers={layers!r}: name layers 1 to {depth} of this model, or -1 to -{depth} from its end")
    return numbers
