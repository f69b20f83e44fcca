"""A fusion as one graph: its models' graphs, twins of its front ends, and their composition."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..embedder import Embedder
from ..fusion.fusion import Fusion
from ..fusion.movement import MovingBands
from ..fusion.statistics import (
    CHANGE_QUANTILES,
    ENERGY_FLOOR,
    HOP,
    LEVEL_QUANTILE,
    N_FFT,
    POWER_FLOOR,
    RANKED,
    RATE,
    SMOOTHINGS,
    LogFrequency,
    Modulation,
    Statistics,
)
from ..model import Model
from . import movement
from .front import LogMelTwin, Power, frames_of
from .graph import Graph
from .movement import BandTwin
from .sizes import free, most, parts, whole
from .trace import Traceable


def graph_of(model: Model, timestamps: bool = False) -> "Graph | FusionGraph":
    """What is traced and exported of a model."""
    if isinstance(model, Fusion):
        return FusionGraph(model, timestamps)
    assert isinstance(model, Embedder)
    return Graph(model, timestamps)


class FusionGraph(Traceable):
    """Waveforms (batch, samples) -> scene embeddings, or frames and their centres in milliseconds, of a fusion.

    Attributes:
        window: samples of the longest window of a part.
    """

    window: int

    def __init__(self, model: Fusion, timestamps: bool = False) -> None:
        super().__init__()
        self.leader, self.timestamps = model.leader, timestamps
        if timestamps and isinstance(model.leading, Statistics):
            raise ValueError("a fusion of front ends alone has no model whose timestamps could be exported")
        self.parts = nn.ModuleList(_twin(part, timestamps) for part in model.models)
        self.composition = model.composition.frame if timestamps else model.composition.scene
        self.window = max((part.window for part in self.parts if isinstance(part, (Graph, FusionGraph))), default=RATE)

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if not self.timestamps:
            return self.composition([part(audio) for part in self.parts])
        frames, stamps = self.parts[self.leader](audio)
        times = stamps[0]
        values = [
            frames if number == self.leader
            else part.at(audio, _centres(times)) if isinstance(part, (LogFrequencyTwin, ModulationTwin, BandTwin))
            else interpolated(part(audio), times)
            for number, part in enumerate(self.parts)
        ]  # fmt: skip
        return self.composition(values), stamps


def _twin(part: Model, timestamps: bool) -> nn.Module:
    if isinstance(part, LogFrequency):
        return LogFrequencyTwin(part)
    if isinstance(part, Modulation):
        return ModulationTwin(part)
    if isinstance(part, MovingBands):
        return movement.twin(part)
    return graph_of(part, timestamps)


class LogFrequencyTwin(nn.Module):
    """``LogFrequency`` on whole clips.

    Powers are in units of their floor: the converter to ONNX takes the floor itself, 1e-9, for zero and leaves it out.
    """

    filters: Tensor

    def __init__(self, front: LogFrequency) -> None:
        super().__init__()
        used = front.filters.any(1).nonzero().flatten()
        first, last = int(used[0]), int(used[-1]) + 1  # bins that a filter takes
        self.spectrum = Power(front.window, N_FFT)
        for name in ("cosines", "sines"):
            self.spectrum.register_buffer(name, getattr(self.spectrum, name)[:, first:last].clone(), persistent=False)
        self.register_buffer("filters", front.filters[first:last] / POWER_FLOOR, persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms -> scenes."""
        power = self.power(audio, HOP * torch.arange(free(1 + audio.shape[1] // HOP, 1)))
        level = self._level(power)
        deviation = (level - level.mean(1, keepdim=True)).square().mean(1).sqrt()
        return torch.cat([self._level(power.mean(1)), deviation], dim=1)

    def at(self, audio: Tensor, centres: Tensor) -> Tensor:
        """Frames around samples."""
        return self._level(self.power(audio, centres))

    def power(self, audio: Tensor, centres: Tensor) -> Tensor:
        """Of each bin around samples, (batch, frames, bins), in units of the floor, which is added."""
        padded = nn.functional.pad(audio, (N_FFT // 2, N_FFT))
        return self.spectrum(frames_of(padded, centres, N_FFT)) @ self.filters + 1.0

    def _level(self, power: Tensor) -> Tensor:
        return power.log() + math.log(POWER_FLOOR)


class ModulationTwin(nn.Module):
    """``Modulation`` on whole clips."""

    def __init__(self, front: Modulation) -> None:
        super().__init__()
        self.front = LogMelTwin(front.front)

    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms -> scenes."""
        bands = self._bands(audio)
        smoothed = self._smoothed(bands)
        energies = [(fine - coarse).square().mean(1) for fine, coarse in pairwise(smoothed)]
        last = smoothed[-1]
        deviation = (last - last.mean(1, keepdim=True)).square().mean(1).sqrt()
        count = bands.shape[1]
        every = parts(count, RANKED)
        levels = bands[:, every * torch.arange(free(parts(count, every), 1))]
        before = every * torch.arange(free(parts(most(count - 1, 1), every), 1))
        behind = torch.minimum(before + 1, whole(count - 1))
        changes = bands[:, behind] - bands[:, before]
        return torch.cat(
            [
                *((energy + ENERGY_FLOOR).log() for energy in energies),
                deviation,
                *_quantiles(changes, CHANGE_QUANTILES),
                *_quantiles(levels, (LEVEL_QUANTILE,)),
            ],
            dim=1,
        )

    def at(self, audio: Tensor, centres: Tensor) -> Tensor:
        """Frames around samples."""
        bands = self._bands(audio)
        nearest = (centres + self.front.hop // 2) // self.front.hop
        nearest = torch.minimum(nearest, whole(bands.shape[1] - 1))
        smoothed = self._smoothed(bands)
        values = [fine - coarse for fine, coarse in pairwise(smoothed)]
        return torch.cat([*values, smoothed[-1]], dim=2)[:, nearest]

    def _bands(self, audio: Tensor) -> Tensor:
        """(batch, frames, bands)."""
        return self.front(audio, 0, self.front.count(audio.shape[1]))

    def _smoothed(self, bands: Tensor) -> list[Tensor]:
        """Means of the frames around each frame, as far as the clip holds them, each (batch, frames, bands)."""
        sums = nn.functional.pad(bands.double().cumsum(1), (0, 0, 1, 0))
        frame, count = torch.arange(bands.shape[1]), whole(bands.shape[1])
        found = []
        for width in SMOOTHINGS:
            first = (frame - (width - 1) // 2).clamp(min=0)
            last = torch.minimum(frame + width // 2 + 1, count)
            found.append(((sums[:, last] - sums[:, first]) / (last - first)[:, None]).float())
        return found


def _centres(times: Tensor) -> Tensor:
    """As ``Statistics.centres``."""
    return (times.double() * (RATE / 1000)).round().long()


def _quantiles(values: Tensor, shares: tuple[float, ...]) -> list[Tensor]:
    """Quantiles over time, (batch, frames, bands) -> (batch, bands) each."""
    ordered = values.sort(dim=1).values
    last = whole(values.shape[1] - 1)
    found = []
    for share in shares:
        rank = share * last.double()
        low = rank.floor().long()
        below, above = ordered[:, low], ordered[:, torch.minimum(low + 1, last)]
        found.append(below + (rank - low).float() * (above - below))
    return found


def interpolated(given: tuple[Tensor, Tensor], times: Tensor) -> Tensor:
    """As ``model.interpolated``, from frames (batch, frames, dim) and their centres, (batch, frames)."""
    frames, centres = given[0], given[1][0].double()
    last = whole(frames.shape[1] - 1)
    step = (centres[-1] - centres[0]) / last.clamp(min=1)
    place = (times.double() - centres[0]) / torch.where(step > 0, step, 1.0)
    place = torch.minimum(place.clamp(min=0), last.double())
    before = place.floor().long()
    share = (place - before).float()[:, None]
    behind = torch.minimum(before + 1, last)
    return torch.lerp(frames[:, before], frames[:, behind], share)
