"""Models and front ends side by side, as one model."""

from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .. import checkpoint, weights
from ..clips import Clips, group_of, groups_of, refuse_unsound
from ..errors import WeightsError
from ..fields import is_number
from ..model import Blocks, Model, Progress, UsedPrecision, interpolated
from ..stream import checked, parts_of
from .composition import Composition, Part
from .movement import CepstralChange, Course, Gabor
from .statistics import LogFrequency, Modulation, Statistics
from .waveform import Heard

TOGETHER = 8  # frames of a stream that front ends compute at once: one by one would cost several times as much
FRONTS: dict[str, Callable[..., Statistics]] = {
    "log-frequency": LogFrequency,
    "modulation": Modulation,
    "course": Course,
    "gabor": Gabor,
    "cepstral-change": CepstralChange,
}


class Fusion(Model):
    """The model that HEAR's ``load_model`` returns for a fusion, in evaluation mode.

    A scene embedding is that of each part, side by side, standardised. Timestamps are those of the leading part, the
    first model among the parts. At these times front ends compute their values, and further models interpolate
    linearly between their own timestamps.

    Args:
        composition: names the parts, standardises and projects.
        hop_ms: step between timestamps; the leading part's own by default.
        options: those of ``Embedder``, for every part that is a model. The weight file gives ``pool`` and ``layers``.
    """

    pool = "parts"

    def __init__(self, composition: Composition, *, hop_ms: float | None = None, **options: Any) -> None:
        super().__init__()
        parts = composition.config.parts
        for name in ("pool", "layers"):
            if options.pop(name, None) not in (None, self.pool):  # tables of a fusion say that pool is "parts"
                raise ValueError(
                    f"{name}: each part of a fusion has its own; a model such as msm-mae-tiny takes {name}"
                )
        leader = next((number for number, part in enumerate(parts) if part.model), 0)
        self.parts = nn.ModuleList(
            opened(part, hop_ms=hop_ms if number == leader else None, **options) for number, part in enumerate(parts)
        )
        self.composition = composition
        self.eval()
        self.leader = leader
        self.hop_ms = self.leading.hop_ms
        self.sample_rate = self.leading.sample_rate
        self.scene_embedding_size = composition.scene.size
        self.timestamp_embedding_size = composition.frame.size
        rates = {part.name: model.sample_rate for part, model in zip(parts, self.models, strict=True)}
        if len(set(rates.values())) > 1:
            raise ValueError(f"the parts of a fusion take audio at one rate; these take {rates}")

    @property
    def models(self) -> list[Model]:
        """The parts."""
        return [part for part in self.parts if isinstance(part, Model)]

    @property
    def leading(self) -> Model:
        """The part whose timestamps the others follow."""
        return self.models[self.leader]

    @property
    def hops(self) -> list[float]:
        return self.leading.hops

    @property
    def used_precision(self) -> UsedPrecision:
        return self.leading.used_precision

    @torch.no_grad()
    def scene(self, audio: Clips) -> Tensor:
        _, device = groups_of(audio)
        return self._composed(self.composition.scene, [part.scene(audio) for part in self.models]).to(device)

    @torch.no_grad()
    def timestamps(self, audio: Clips) -> tuple[Tensor, Tensor]:
        audio, device = group_of(audio)
        frames, times = self.leading.timestamps(audio)
        if not len(audio):
            return torch.empty(0, frames.shape[1], self.timestamp_embedding_size, device=device), times
        others = {part: part.frames_at(audio, times[0]) for part in self.models if part is not self.leading}
        frames = self._composed(self.composition.frame, [others.get(part, frames) for part in self.models])
        return frames.to(device), times

    @torch.no_grad()
    def scene_of(self, open_blocks: Blocks, progress: Progress | None = None) -> Tensor:
        """``scene`` of a recording in constant memory; each part reads it, front ends twice."""
        vectors = [part.scene_of(open_blocks, progress if part is self.leading else None)[None] for part in self.models]
        return self._composed(self.composition.scene, vectors)[0].cpu()

    @torch.no_grad()
    def timestamps_of(self, open_blocks: Blocks, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """``timestamps`` of such a recording, in parts in order of time, in constant memory; each part reads it."""
        others: dict[Model, Follower] = {
            part: Listening(part, Heard(checked(open_blocks(), "block"))) if isinstance(part, Statistics)
            else Interpolated(part.timestamps_of(open_blocks))
            for part in self.models if part is not self.leading
        }  # fmt: skip
        for times, frames in self._followed(self.leading.timestamps_of(open_blocks, progress), others):
            yield times, frames.cpu()

    def stream_groups(
        self, chunks: Iterable[Any], *, sample_rate: int | None = None, latency_ms: float | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        if isinstance(self.leading, Statistics):
            raise TypeError("a fusion of front ends alone does not stream: it has no model to follow")
        if latency_ms is not None:
            self._check_latency(latency_ms)
        copies = iter(tee(parts_of(self, chunks, sample_rate), len(self.models)))
        # A model takes the parts as chunks; front ends look as far ahead as they have to.
        heard = {part: (chunk[0] for chunk in copy) for part, copy in zip(self.models, copies, strict=True)}
        groups = {
            part: part.stream_groups(heard[part], latency_ms=latency_ms)
            for part in self.models if not isinstance(part, Statistics)
        }  # fmt: skip
        others: dict[Model, Follower] = {
            part: Listening(part, Heard(chunk[None] for chunk in heard[part])) if isinstance(part, Statistics)
            else Interpolated(groups[part])
            for part in self.models if part is not self.leading
        }  # fmt: skip
        return self._followed(_divided(groups[self.leading]), others)

    @property
    def latency_ms(self) -> float:
        """That of the slowest part. Frames that come together wait for the last of them."""
        followers = [part for part in self.models if part is not self.leading]
        together = (TOGETHER - 1) * self.hop_ms
        steps = [together + (0.0 if isinstance(part, Statistics) else part.hop_ms) for part in followers]
        waits = [part.latency_ms + step for part, step in zip(followers, steps, strict=True)]
        return max(self.leading.latency_ms, *waits) if waits else self.leading.latency_ms

    def _check_latency(self, latency_ms: Any) -> None:
        fronts = zip(self.composition.config.parts, self.models, strict=True)
        waits = {part.name: model.latency_ms for part, model in fronts if isinstance(model, Statistics)}
        slowest = max(waits, key=waits.__getitem__, default="")
        if slowest and is_number(latency_ms) and latency_ms < waits[slowest]:
            least = f"{slowest} takes {waits[slowest]:g} ms"
            raise ValueError(f"latency_ms={latency_ms:g}: {least}; stream a model without it, such as msm-mae-tiny")

    @torch.no_grad()
    def _followed(
        self, groups: Iterator[tuple[Tensor, Tensor]], others: "dict[Model, Follower]"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Times and composed frames, from those of the leading part and what the others say at its times."""
        for times, frames in groups:
            vectors = [frames[None] if part is self.leading else others[part].at(times) for part in self.models]
            yield times, self._composed(self.composition.frame, vectors)[0].to(frames.device)

    def _composed(self, standardisation: nn.Module, vectors: list[Tensor]) -> Tensor:
        device = self.composition.scene.mean.device
        return refuse_unsound(standardisation([vector.to(device) for vector in vectors]))


def _divided(groups: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    for times, frames in groups:
        yield from zip(times.split(TOGETHER), frames.split(TOGETHER), strict=True)


class Follower(Protocol):
    """A part that gives frames at the leading part's times."""

    def at(self, times: Tensor) -> Tensor:
        """Frames at the next times in ms, (1, times, dim)."""


class Listening:
    """A front end that computes frames at any times of a clip that comes in parts."""

    def __init__(self, front: Statistics, audio: Heard) -> None:
        self._front, self._audio = front, audio

    def at(self, times: Tensor) -> Tensor:
        """Frames at the next times, (1, times, dim)."""
        return self._front.heard_at(self._audio, self._front.centres(times))


class Interpolated:
    """Timestamps that come in parts, as frames at other times, which come in order too.

    Args:
        parts: centres in ms and frames.
    """

    def __init__(self, parts: Iterator[tuple[Tensor, Tensor]]) -> None:
        self._parts = parts
        self._times, self._frames = torch.zeros(0), torch.zeros(0)

    def at(self, times: Tensor) -> Tensor:
        """Frames at the next times, (1, times, dim)."""
        while not len(self._times) or self._times[-1] < times[-1]:
            part = next(self._parts, None)
            if part is None:
                break
            known = len(self._times) > 0
            self._times = torch.cat([self._times, part[0]]) if known else part[0]
            self._frames = torch.cat([self._frames, part[1]]) if known else part[1]
        found = interpolated(self._frames[None], self._times, times)
        kept = max(int((self._times <= times[-1]).sum()) - 2, 0)
        self._times, self._frames = self._times[kept:], self._frames[kept:]
        return found


def opened(part: Part, **options: Any) -> Model:
    """A part, if its file is the one that the fusion was made with and its vectors are as wide as they were."""
    model: Model
    if part.front:
        if part.front not in FRONTS:
            raise WeightsError(f"no front end is called {part.front!r}: this version knows {', '.join(FRONTS)}")
        model = FRONTS[part.front](hop_ms=options.get("hop_ms"))
    else:
        try:
            path = weights.resolve(part.model)
        except WeightsError as error:
            raise WeightsError(f"this fusion needs the model {part.model!r}: {error}") from error
        digest = checkpoint.sha256(path)
        if digest != part.sha256:
            raise WeightsError(
                f"{path} has sha256 {digest}, but this fusion was made with the {part.model} of sha256 {part.sha256}; "
                "get that file, or make the fusion again"
            )
        model = weights.open_model(path, layers=part.layers, pool=part.pool, **options)
    if (model.scene_embedding_size, model.timestamp_embedding_size) != (part.scene, part.frame):
        raise WeightsError(
            f"{part.name} gives vectors of {model.scene_embedding_size} and {model.timestamp_embedding_size} values; "
            f"this fusion was made for {part.scene} and {part.frame}: make it again"
        )
    return model
