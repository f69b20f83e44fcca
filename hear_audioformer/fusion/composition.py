"""What the weight file of a fusion holds: the names of its parts, and how their values become an embedding.

The parts' own weights are not in it. They are found by name, like any model, and verified by their sha256.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..encoder import Network
from ..errors import WeightsError
from ..fields import check

if TYPE_CHECKING:
    from .fusion import Fusion


@dataclass(frozen=True)
class Part:
    """A model or a front end.

    Attributes:
        model: what ``load_model`` takes; "" for a front end.
        sha256: of the model's weight file.
        layers, pool: options of that model; its own if None.
        front: the name of a front end, one of ``fusion.fusion.FRONTS``; "" for a model.
        scene, frame: widths of its vectors.
    """

    model: str = ""
    sha256: str = ""
    layers: tuple[int, ...] | None = None
    pool: str | None = None
    front: str = ""
    scene: int = 1
    frame: int = 1

    def __post_init__(self) -> None:
        check(self, positive=("scene", "frame"))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
        if bool(self.model) == bool(self.front):
            raise ValueError(f"model={self.model!r} and front={self.front!r}: a part is one of the two")

    @property
    def name(self) -> str:
        return self.model or self.front


@dataclass(frozen=True)
class Config:
    """Everything that makes one fusion.

    Attributes:
        parts: side by side, in this order.
        components: principal components that the file holds, of scenes and of timestamps; 0 for none.
        dims: how many of them an embedding has; 0 for the parts' values themselves, standardised.
    """

    parts: tuple[Part, ...] = ()
    components: int = 0
    dims: int = 0

    def __post_init__(self) -> None:
        parts = tuple(part if isinstance(part, Part) else _part(part) for part in self.parts)
        object.__setattr__(self, "parts", parts)
        check(self)
        if not parts:
            raise ValueError("parts=(): a fusion needs one part at least")
        values = min(self.width("scene"), self.width("frame"))
        if self.components > values:
            raise ValueError(f"components={self.components}: the parts give only {values} values")
        if self.dims > self.components:
            raise ValueError(f"dims={self.dims}: this fusion has up to {self.components} principal components, or 0")

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """There are no sizes: a fusion is as large as its parts."""
        raise ValueError(f"a fusion has no size {size!r}")

    def width(self, kind: str) -> int:
        """Values of all parts for a "scene" or a "frame"."""
        return sum(getattr(part, kind) for part in self.parts)


class Composition(Network):
    """Standardises the values of all parts, and projects them.

    Each value is taken less its mean over a corpus and over its deviation, so that no part outweighs another by its
    scale alone.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.scene = Standardisation(config.width("scene"), config.components, config.dims)
        self.frame = Standardisation(config.width("frame"), config.components, config.dims)

    def model(self, **options: Any) -> "Fusion":
        """The parts, opened, and this. A fusion opens models of any method, hence it is imported here."""
        from .fusion import Fusion

        if not all(bool((part.std > 0).all()) for part in (self.scene, self.frame)):
            raise WeightsError("a deviation of this fusion is not above 0: make it again")
        return Fusion(self, **options)


class Standardisation(nn.Module):
    """(..., values) -> (..., values) or (..., dims).

    Attributes:
        mean, std: of each value, over a corpus.
        axes: principal axes of the standardised values, (components, values), largest variance first.
    """

    mean: Tensor
    std: Tensor
    axes: Tensor

    def __init__(self, values: int, components: int, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.size = dims or values
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("std", torch.ones(values))
        self.register_buffer("axes", torch.zeros(components, values))

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """The vectors of all parts, each (..., its values)."""
        standardised = torch.cat(list(parts), dim=-1).sub_(self.mean).div_(self.std)
        return standardised @ self.axes[: self.dims].mT if self.dims else standardised


def build(config: dict[str, Any]) -> Composition:
    """A composition that changes nothing yet, from the fields of a ``Config``."""
    return Composition(Config(**config))


def _part(entry: Any) -> Part:
    """A part from its entry in a weight file."""
    known = [field.name for field in fields(Part)]
    if not isinstance(entry, dict) or not entry.keys() <= {*known}:
        raise ValueError(f"a part is {entry!r}: expected {', '.join(known)}")
    return Part(**entry)
