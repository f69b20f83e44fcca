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
        scene_components, frame_components: how many of their principal components stand for the values themselves,
            scaled to a mean variance of 1; 0 for the values.
    """

    model: str = ""
    sha256: str = ""
    layers: tuple[int, ...] | None = None
    pool: str | None = None
    front: str = ""
    scene: int = 1
    frame: int = 1
    scene_components: int = 0
    frame_components: int = 0

    def __post_init__(self) -> None:
        check(self, positive=("scene", "frame"))
        for kind in ("scene", "frame"):
            width, kept = self.of(kind)
            if kept > width:
                raise ValueError(f"{kind}_components={kept}: {self.name} gives only {width} values")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
        if bool(self.model) == bool(self.front):
            raise ValueError(f"model={self.model!r} and front={self.front!r}: a part is one of the two")

    @property
    def name(self) -> str:
        return self.model or self.front

    def of(self, kind: str) -> tuple[int, int]:
        """Width and components of a "scene" or a "frame"."""
        return getattr(self, kind), getattr(self, f"{kind}_components")


@dataclass(frozen=True)
class Config:
    """Everything that makes one fusion.

    Attributes:
        parts: side by side, in this order.
        dims: values of an embedding, the leading components of all parts, shared out as the parts' own numbers of
            components are; 0 for all that the parts give.
    """

    parts: tuple[Part, ...] = ()
    dims: int = 0

    def __post_init__(self) -> None:
        parts = tuple(part if isinstance(part, Part) else _part(part) for part in self.parts)
        object.__setattr__(self, "parts", parts)
        check(self)
        if not parts:
            raise ValueError("parts=(): a fusion needs one part at least")
        most = min(self.components(kind) for kind in ("scene", "frame"))
        if self.dims > most:
            told = f"up to {most} principal components" if most else "values and no principal components"
            raise ValueError(f"dims={self.dims}: this fusion has {told}, or 0 for all that its parts give")

    @classmethod
    def of_size(cls, size: str, **changes: Any) -> "Config":
        """There are no sizes: a fusion is as large as its parts."""
        raise ValueError(f"a fusion has no size {size!r}")

    def components(self, kind: str) -> int:
        """Components of all parts for a "scene" or a "frame"; 0 if one of them has none."""
        kept = [part.of(kind)[1] for part in self.parts]
        return sum(kept) if all(kept) else 0

    def sizes(self, kind: str) -> list[int]:
        """Values that each part adds to a "scene" or a "frame"."""
        if self.dims:
            return shares(self.dims, [part.of(kind)[1] for part in self.parts])
        return [kept or width for width, kept in (part.of(kind) for part in self.parts)]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """A number in whole parts that are as near to the weights as can be, the first of equals favoured."""
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [int(part) for part in exact]
    largest = sorted(range(len(parts)), key=lambda number: parts[number] - exact[number])
    for number in largest[: total - sum(parts)]:
        parts[number] += 1
    return parts


class Composition(Network):
    """Standardises the values of all parts, and projects them part by part.

    Each value is taken less its mean over a corpus and over its deviation, so that no part outweighs another by its
    scale alone. Values of a part say nearly the same many times over. In its leading principal components a head that
    standardises its input hears also what few values say; to a distance each part is as loud as it has components.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.scene, self.frame = (
            Standardisation([part.of(kind) for part in config.parts], config.sizes(kind)) for kind in ("scene", "frame")
        )

    def model(self, **options: Any) -> "Fusion":
        """The parts, opened, and this. A fusion opens models of any method, hence it is imported here."""
        from .fusion import Fusion

        if not all(bool((part.std > 0).all()) for part in (self.scene, self.frame)):
            raise WeightsError("a deviation of this fusion is not above 0: make it again")
        return Fusion(self, **options)


class Standardisation(nn.Module):
    """(..., values) -> (..., size).

    Args:
        parts: width and components of each part; 0 components for its values as they are.
        sizes: how many of them are given.

    Attributes:
        mean, std: of each value, over a corpus.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, parts: Sequence[tuple[int, int]], sizes: Sequence[int]) -> None:
        super().__init__()
        self.widths = [width for width, _ in parts]
        self.size = sum(sizes)
        self.register_buffer("mean", torch.zeros(sum(self.widths)))
        self.register_buffer("std", torch.ones(sum(self.widths)))
        self.projections = nn.ModuleList(Projection(*part, size) for part, size in zip(parts, sizes, strict=True))

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """The vectors of all parts, each (..., its values)."""
        standardised = ((torch.cat(list(parts), dim=-1) - self.mean) / self.std).split(self.widths, dim=-1)
        given = [project(x) for project, x in zip(self.projections, standardised, strict=True)]
        return torch.cat(given, dim=-1)


class Projection(nn.Module):
    """Principal components of one part, (..., width) -> (..., size); without any, the values.

    Attributes:
        axes: (components, width), of the largest variance first; None without components.
    """

    axes: Tensor | None

    def __init__(self, width: int, components: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("axes", torch.zeros(components, width) if components else None)

    def forward(self, x: Tensor) -> Tensor:
        return x if self.axes is None else x @ self.axes[: self.size].mT


def build(config: dict[str, Any]) -> Composition:
    """A composition that changes nothing yet, from the fields of a ``Config``."""
    return Composition(Config(**config))


def _part(entry: Any) -> Part:
    """A part from its entry in a weight file."""
    known = [field.name for field in fields(Part)]
    if not isinstance(entry, dict) or not entry.keys() <= {*known}:
        raise ValueError(f"a part is {entry!r}: expected {', '.join(known)}")
    return Part(**entry)
