"""ASiT's objective: restore what is hidden, and say of a corrupted view what the teacher says of clean ones.

A student sees two corrupted views of a recording, its teacher (the moving average of its weights) the same two clean.
Three losses: class tokens agree across views, patch tokens within a view, and hidden pixels are restored. Random
numbers come from one generator a call, on the CPU, so that a seed means the same views and corruption on any device.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hear_audioformer.asit import Asit, Config
from hear_audioformer.layers import set_drop_path

from ..precision import exact
from ..schedule import cosine
from ..sections import Key, keywords
from . import Logs
from .asit_network import Heads, Network, initialise
from .distil import Centre, cross_entropy, cross_view_entropy, ema_update
from .gmml import Corrupted, Corruption


@dataclass(frozen=True)
class Weights:
    """What each loss counts."""

    cls: float = 1.0
    patch: float = 1.0
    pixel: float = 2.0


@dataclass(frozen=True)
class Temperatures:
    """Of the softmax; the teacher's goes from ``start`` to ``end`` over so many epochs, in equal steps."""

    student: float = 0.1
    start: float = 0.04
    end: float = 0.07
    epochs: int = 30

    def teacher(self, epoch: int) -> float:
        """The teacher's in an epoch, counted from 0."""
        if not self.epochs:
            return self.end
        return self.start + (self.end - self.start) * min(1.0, epoch / max(1, self.epochs - 1))


@dataclass(frozen=True)
class Local:
    """Short clean views that the student alone sees, and whose class tokens alone count."""

    count: int = 0
    seconds: float = 2.0


@dataclass(frozen=True)
class Views:
    """What a batch is made into; all of view 0 come first, then all of view 1.

    Attributes:
        clean: (2 * batch, frames, bands).
        seen: the same, corrupted.
        local: (count * batch, fewer frames, bands), or None.
    """

    clean: Tensor
    seen: Corrupted
    local: Tensor | None = None


class AsitObjective(nn.Module):
    """Views, corruption, heads, teacher, centres and losses around an encoder.

    Args:
        encoder: the student; its weights are drawn anew as published unless ``fresh`` is off.
        epoch: steps that make an epoch, in which the published schedules count.
        span: seconds of audio that both views of a recording are cut from.
        seconds: of a view; one shorter than the encoder's window is filled up as the authors do (see ``features``).
        corruption, heads, weights, temperatures, local: see their classes.
        centring: momentum of the centres.
        momentum: of the teacher at first; it rises to 1 by half a cosine over the run.
        drop_path: share of the clips that skip a branch of the student's last block, growing from 0 at the first.
        frozen: epochs for which the prototypes stay as they are. The authors' code means 1 and does 0, because its
            filter looks for a name that no parameter has.
    """

    readers = ("audio",)

    def __init__(
        self,
        encoder: Asit,
        *,
        epoch: int,
        span: float = 10.0,
        seconds: float = 6.0,
        corruption: Corruption | None = None,
        heads: Heads | None = None,
        weights: Weights | None = None,
        temperatures: Temperatures | None = None,
        local: Local | None = None,
        centring: float = 0.9,
        momentum: float = 0.996,
        drop_path: float = 0.1,
        frozen: int = 1,
        fresh: bool = True,
    ) -> None:
        super().__init__()
        heads = heads or Heads()
        self.corruption, self.weights = corruption or Corruption(), weights or Weights()
        self.temperatures, self.local = temperatures or Temperatures(), local or Local()
        self.epoch, self.momentum, self.frozen = epoch, momentum, frozen
        self.crop, self.view, self.short = (round(s * encoder.sample_rate) for s in (span, seconds, self.local.seconds))
        local_frames = encoder.count(self.short) if self.local.count else encoder.config.patch
        cut = self.crop >= self.view and (self.view >= self.short or not self.local.count)
        if not cut or local_frames < encoder.config.patch:
            raise ValueError(
                f"span={span:g}, seconds={seconds:g}, local.seconds={self.local.seconds:g} do not fit: each must hold "
                f"the next, and a local view {encoder.config.patch} frames"
            )
        self.student = Network(encoder, heads)
        if fresh:
            initialise(self.student)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.centres = nn.ModuleDict(
            {"cls": Centre(heads.cls, centring), "patch": Centre(heads.cls if heads.shared else heads.patch, centring)}
        )
        set_drop_path(encoder.blocks, drop_path)
        self.noted = -1  # the step that the centres' notes are of

    @property
    def encoder(self) -> Asit:
        """The one that is trained."""
        return self.student.encoder

    def forward(self, audio: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Recordings (batch, samples) -> the loss, and its three parts."""
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, (), device="cpu")))
        return self.losses(self.views(audio, generator), step)

    def views(self, audio: Tensor, generator: torch.Generator) -> Views:
        """Cuts and corrupts."""
        batch = len(audio)
        rolled = torch.randint(self.crop + 1, (batch,), generator=generator)
        rolled *= torch.rand(batch, generator=generator) < 0.5
        clean = self._features(audio, rolled, self.view, 2, self.encoder.config.frames, generator)
        halves = [self.corruption(half, generator) for half in clean.split(batch)]
        pictures, mask = (torch.cat([getattr(half, part) for half in halves]) for part in ("pictures", "mask"))
        local = None
        if self.local.count:
            patch = self.encoder.config.patch
            frames = self.encoder.count(self.short) // patch * patch
            local = self._features(audio, rolled, self.short, self.local.count, frames, generator)
        return Views(clean, Corrupted(pictures, mask), local)

    def losses(self, views: Views, step: int) -> tuple[Tensor, Logs]:
        """Views -> the weighted sum of the three losses, and each by itself."""
        batch = len(views.clean) // 2
        tokens = self.student.tokens(views.seen.pictures)
        cls, patch = self.student.project(tokens)
        painted = self.student.paint(tokens[:, 1:], self.encoder.rows)
        students = [*cls.split(batch)]
        if views.local is not None:
            students += self.student.project(self.student.tokens(views.local))[0].split(batch)
        with torch.no_grad():
            teacher_cls, teacher_patch = self._taught(views.clean, step)
        student = self.temperatures.student
        parts = {
            "cls": cross_view_entropy(teacher_cls.split(batch), students, student),
            "patch": cross_entropy(teacher_patch, patch, student),
            "pixel": hidden_error(painted, views),
        }
        total = sum(getattr(self.weights, name) * part for name, part in parts.items())
        assert isinstance(total, Tensor)
        return total, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def panels(self, features: Tensor) -> dict[str, Tensor]:
        """What a figure shows of windows (batch, frames, bands), by title; the same corruption each time."""
        seen = self.corruption(features, torch.Generator().manual_seed(0))
        painted = self.student.paint(self.student.tokens(seen.pictures)[:, 1:], self.encoder.rows)
        return {"input": features, "corrupted": seen.pictures, "hidden pixels": seen.mask, "restored": painted}

    def before_step(self, step: int) -> None:
        """Holds the prototypes still in the first epochs; for the loop, once gradients are there."""
        if step < self.frozen * self.epoch:
            for parameter in self.student.project.last_layer():
                parameter.grad = None

    def after_step(self, step: int, steps: int) -> None:
        """Moves teacher and centres; for the loop, once the student has moved."""
        for centre in self.centres.values():
            assert isinstance(centre, Centre)
            centre.update()
        ema_update(self.teacher, self.student, cosine(step, steps, self.momentum, 1.0))

    def _taught(self, clean: Tensor, step: int) -> list[Tensor]:
        """The teacher's distributions of class and patch tokens; in training the centres take note of its logits."""
        temperature = self.temperatures.teacher(step // self.epoch)
        answers = dict(zip(("cls", "patch"), self.teacher.project(self.teacher.tokens(clean)), strict=True))
        probabilities = []
        for name, logits in answers.items():
            centre = self.centres[name]
            assert isinstance(centre, Centre)
            if step != self.noted:  # what a failed step left
                centre.batch_means.clear()
            if self.training:
                centre.note(logits)
            probabilities.append(centre.sharpened(logits, temperature))
        self.noted = step
        return probabilities

    def _features(
        self, audio: Tensor, rolled: Tensor, samples: int, count: int, frames: int, generator: torch.Generator
    ) -> Tensor:
        """``count`` random crops of each recording, after rolling it round: (count * batch, frames, bands)."""
        starts = torch.randint(self.crop - samples + 1, (count, len(audio)), generator=generator) - rolled
        positions = starts.to(audio.device)[..., None] + torch.arange(samples, device=audio.device)
        crops = audio.expand(count, -1, -1).gather(2, positions % self.crop).flatten(0, 1)
        with exact(audio.device.type):
            return self.encoder.features(crops, 0, frames)


def hidden_error(painted: Tensor, views: Views) -> Tensor:
    """Mean absolute error over the hidden pixels of both views; 0 where nothing was hidden."""
    error = (painted.float() - views.clean).abs() * views.seen.mask
    return error.sum() / views.seen.mask.sum().clamp(min=1)


def keys(config: Config) -> dict[str, Key]:
    """The keys of a recipe's ``objective`` section."""
    return keywords(AsitObjective)


def build(encoder: Asit, **options: Any) -> AsitObjective:
    """An objective from a recipe's ``objective`` section."""
    return AsitObjective(encoder, **options)
