"""How to train: the ``loop`` section of a recipe, with lengths in steps or in epochs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from .schedule import cosine, warm_cosine, warmup_stable_decay

Schedule = Literal["cosine", "wsd"]


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """What the ``loop`` section says in any recipe.

    Attributes:
        batch: crops in a step, over all processes and accumulated parts.
        accumulate: parts that the crops of one process are cut into.
        lr: peak learning rate per 256 crops; the true one grows with the batch. None where nothing learns by gradients.
        schedule: after the warm-up: "cosine", half a cosine down to ``min_lr``; or "wsd", constant but for the last
            ``cooldown`` steps. A run of "wsd" can be made longer, or be ended from any checkpoint by a short run that
            branches off.
        cooldown: steps in which "wsd" goes down to ``min_lr``.
        min_lr: final learning rate, per 256 crops as well.
        weight_decay, betas: of AdamW; biases and 1-D parameters are not decayed.
        weight_decay_end: what the decay goes to by half a cosine; None for a constant one.
        clip: largest gradient norm; None for no clipping.
        clip_each: whether each parameter's gradient is clipped by itself, instead of all together.
        ema: decay of the weights' moving average; None for none.
        log_every: steps between two lines of the log.
        checkpoint_seconds: between two checkpoints.
        keep: checkpoints that stay.
        keep_every: one each so many steps stays beside them; None for none.
        patience: steps in a row without a finite loss before the run gives up.
        compile: whether the objective is compiled.
    """

    batch: int
    lr: float | None = None
    accumulate: int = 1
    schedule: Schedule = "cosine"
    cooldown: int = 0
    min_lr: float = 0.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay_end: float | None = None
    clip: float | None = None
    clip_each: bool = False
    ema: float | None = None
    log_every: int = 20
    checkpoint_seconds: float = 300.0
    keep: int = 2
    keep_every: int | None = None
    patience: int = 20
    compile: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings(Optimisation):
    """How to train, with lengths in steps: the ``loop`` section of a pretraining recipe.

    Attributes:
        steps: optimiser steps.
        warmup: steps until the peak of the learning rate.
        swa: the step from which the plain mean of the weights is taken, instead of their moving average; None for none.
        watch_every: steps between two validations, where there are validation clips; None for none.
    """

    steps: int
    warmup: int = 0
    swa: int | None = None
    watch_every: int | None = None

    def __post_init__(self) -> None:
        if self.ema is not None and self.swa is not None:
            raise ValueError("weights are averaged one way: choose ema or swa")
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"loop.schedule={self.schedule!r}: choose {' or '.join(get_args(Schedule))}")
        if self.schedule == "wsd" and self.weight_decay_end is not None:
            raise ValueError('loop.weight_decay_end follows the length of a run, which loop.schedule="wsd" leaves open')
        if self.cooldown and self.schedule != "wsd":
            raise ValueError('loop.cooldown belongs to loop.schedule="wsd"')
        if self.cooldown and not 0 < self.cooldown <= self.steps - self.warmup:
            raise ValueError(f"loop.cooldown={self.cooldown} does not fit behind {self.warmup} steps of warm-up")

    def microbatch(self, processes: int) -> int:
        """Crops that one process is given at a time."""
        parts = processes * self.accumulate
        if self.batch % parts:
            raise ValueError(
                f"loop.batch={self.batch} cannot be cut into equal parts for {processes} processes with "
                f"loop.accumulate={self.accumulate}: choose a multiple of {parts}"
            )
        return self.batch // parts

    def lr_at(self, step: int) -> float:
        """The learning rate of a step."""
        if self.lr is None:
            raise ValueError("the recipe has no learning rate: say loop.lr=...")
        scale = self.batch / 256
        peak, end = self.lr * scale, self.min_lr * scale
        if self.schedule == "wsd":
            return warmup_stable_decay(step, self.steps, peak, warmup=self.warmup, cooldown=self.cooldown, end=end)
        return warm_cosine(step, self.steps, peak, warmup=self.warmup, end=end)

    def common_steps(self, recipe: Any) -> int:
        """The last step up to which a run of this schedule and one of ``recipe`` are the same, whatever their lengths.

        -1 where their lengths matter from the start.
        """
        other = recipe.get("loop", {}) if isinstance(recipe, Mapping) else {}
        if self.schedule != "wsd" or other.get("schedule") != "wsd":
            return -1
        return min(self.steps - self.cooldown, other["steps"] - other.get("cooldown", 0))

    def weight_decay_at(self, step: int) -> float:
        """The weight decay of a step."""
        end = self.weight_decay if self.weight_decay_end is None else self.weight_decay_end
        return cosine(step, self.steps, self.weight_decay, end)


@dataclass(frozen=True, kw_only=True)
class EpochSettings(Optimisation):
    """How to train, with lengths in epochs: the ``loop`` section of a fine-tuning recipe.

    Attributes:
        epochs: as many draws each as there are clips.
        warmup_epochs, swa_epochs, watch_epochs: as ``Settings`` has them; ``swa_epochs`` are the last ones of the run.
    """

    epochs: float
    warmup_epochs: float = 0.0
    swa_epochs: float = 0.0
    watch_epochs: float | None = None

    def in_steps(self, clips: int) -> Settings:
        """The settings for a set of so many clips."""
        steps_per_epoch = clips / self.batch
        steps = max(1, round(self.epochs * steps_per_epoch))
        warmup, averaged = (round(epochs * steps_per_epoch) for epochs in (self.warmup_epochs, self.swa_epochs))
        watch_every = max(1, round(self.watch_epochs * steps_per_epoch)) if self.watch_epochs else None
        common = {field.name: getattr(self, field.name) for field in fields(Optimisation)}
        swa = max(0, steps - averaged) if averaged else None
        return Settings(**common, steps=steps, warmup=min(warmup, steps), swa=swa, watch_every=watch_every)
