"""The one training loop: precision, processes, accumulation, EMA, schedules, resume, logs (Lightning Fabric).

Nothing random survives from step to step: crops, masks and noise of a step are drawn from generators seeded by (seed,
step, process). A run that was killed at any instant goes on from its last checkpoint as if nothing had happened.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from . import checkpoints, fsdp
from .average import Average
from .objectives import Steers, lr_scales, no_decay
from .progress import Meter, Progress, summed
from .settings import Settings

# batch size, generator -> what the objective takes, on the device: crops (batch, samples), or what else it learns from
Source = Callable[[int, torch.Generator], Any]
Watch = Callable[[], Mapping[str, float]]  # scores of the objective as it stands


@runtime_checkable
class ReadsAhead(Protocol):
    """A source that reads batches before they are asked for."""

    def begin(self, batch: int, seeds: Iterable[int]) -> None:
        """Called once: the batches to come have this size, and are drawn by generators of these seeds in this order."""


class DivergedError(RuntimeError):
    """The loss stayed NaN or infinite for too long."""

    def __init__(self, steps: int, last: int, failed: str) -> None:
        super().__init__(
            f"no finite loss for {steps} steps up to step {last} ({failed}): "
            "start anew, in another folder, with a lower loop.lr or loop.clip"
        )


def train(
    objective: nn.Module,
    source: Source,
    settings: Settings,
    folder: Path,
    fabric: Fabric,
    *,
    seed: int = 0,
    facts: dict[str, Any] | None = None,
    until: int | None = None,
    minutes: float | None = None,
    watch: Watch | None = None,
    branch: Path | None = None,
) -> nn.Module:
    """Trains from the newest checkpoint in ``folder``, or from the start; returns the objective with its last weights.

    Args:
        objective: see ``training.objectives``.
        source: makes crops on the device from a generator.
        facts: what a checkpoint holds beside the state: recipe, corpus fingerprint.
        until: stop after this step, with a checkpoint; the schedule stays that of the whole run.
        minutes: stop after the first step that ends later than this, likewise.
        watch: validation scores of the averaged weights, logged each ``watch_every`` steps; draws no random numbers.
        branch: a checkpoint of another run to start from, where ``folder`` holds none.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(objective, settings, fabric)
    model, optimiser = _set_up(objective, settings, fabric)
    average = Average(objective, settings.ema, settings.swa)
    newest = checkpoints.latest(folder) or branch
    first = _resume(fabric, newest, model, optimiser, average, facts or {}, settings) if newest else 0
    steers = objective if isinstance(objective, Steers) else None
    before = branch.parent if branch and newest == branch else None
    progress.begin(folder, first, before)
    saved, bad = time.monotonic(), 0
    end = min(settings.steps, until or settings.steps)
    _begin(source, seed, first, end, settings, fabric)
    for step in range(first, end):
        _set_rates(optimiser, settings, step)
        norm, failed = _step(model, optimiser, source, settings, fabric, seed, step, progress.meter, steers)
        bad = bad + 1 if failed else 0
        if bad > settings.patience:
            raise DivergedError(bad, step, failed)
        average.update(step)
        done = step + 1
        if minutes is not None and _due(fabric, began, 60 * minutes):
            end = done
        watched = watch and _at(settings.watch_every, done, end)
        scores = _validate(fabric, watch, average, progress.meter) if watch and watched else {}
        if watched or _at(settings.log_every, done, end):
            progress.line(done, {"lr": settings.lr_at(step), "grad_norm": norm, **scores})
        if _at(settings.keep_every, done, end) or done == end or _due(fabric, saved, settings.checkpoint_seconds):
            state = {"model": model, "optimiser": optimiser, "step": done, "facts": facts or {}}
            _save(fabric, folder, state, average, settings)
            saved = time.monotonic()
        if done == end:
            break
    progress.close()
    return objective


def _begin(source: Source, seed: int, first: int, end: int, settings: Settings, fabric: Fabric) -> None:
    """Tells a source that reads ahead which batches come."""
    if isinstance(source, ReadsAhead):
        seeds = (_mix(seed, number) for number in _batch_numbers(first, end, settings, fabric))
        source.begin(settings.microbatch(fabric.world_size), seeds)


def _set_up(objective: nn.Module, settings: Settings, fabric: Fabric) -> tuple[Any, Any]:
    """The model and its optimiser, on the devices of the fabric's processes."""
    compiled: Any = torch.compile(objective) if settings.compile else objective
    model = fabric.setup_module(compiled)
    optimiser = torch.optim.AdamW(_groups(objective, settings), lr=0.0, betas=settings.betas)
    return model, fabric.setup_optimizers(optimiser)


def _set_rates(optimiser: Any, settings: Settings, step: int) -> None:
    """Gives every group of parameters the learning rate and the decay of a step."""
    for group in optimiser.param_groups:
        group["lr"] = settings.lr_at(step) * group.get("scale", 1.0)
        if group.get("decays"):
            group["weight_decay"] = settings.weight_decay_at(step)


def leave() -> None:
    """Leaves the process group after a barrier; without this, a process may abort as it ends."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _step(
    model: Any,
    optimiser: Any,
    source: Source,
    settings: Settings,
    fabric: Fabric,
    seed: int,
    step: int,
    meter: Meter,
    steers: Steers | None,
) -> tuple[float, str]:
    """One optimiser step; returns the gradient norm and, if the step was left out, what was not finite."""
    part = settings.microbatch(fabric.world_size)
    parts: list[dict[str, Tensor]] = []
    for index, number in enumerate(_batch_numbers(step, step + 1, settings, fabric)):
        began = time.perf_counter()
        audio = source(part, _generator(fabric.device, seed, number))
        meter.waited += time.perf_counter() - began
        meter.lengths += getattr(audio, "lengths", [])
        torch.manual_seed(_mix(seed + 1, number))  # masks and noise inside the objective
        last = index + 1 == settings.accumulate
        with nullcontext() if last else fabric.no_backward_sync(model):
            loss, logs = model(audio, step)
            parts.append({name: value.detach() for name, value in {"loss": loss, **logs}.items()})
            fabric.backward(loss / settings.accumulate)
    meter.steps += 1
    norm, failed = float("nan"), _nonfinite(fabric, parts)
    if not failed:
        norm = _clip(fabric, model, optimiser, settings)
        failed = "" if math.isfinite(norm) else "the gradient was NaN or infinite"
        if steers and not failed:
            steers.before_step(step)
        if not failed or fabric._precision.state_dict():  # fp16's scaler leaves the step out itself, and scales less
            optimiser.step()
        if steers and not failed:
            steers.after_step(step, settings.steps)
    if failed:
        fabric.print(f"step {step}: {failed}; step left out")
        meter.left_out += 1
    else:
        meter.add(parts)
    optimiser.zero_grad()
    return norm, failed


def _clip(fabric: Fabric, model: Any, optimiser: Any, settings: Settings) -> float:
    """Clips the gradients as the settings say; returns their norm before clipping."""
    limit = float("inf") if settings.clip_each else settings.clip or float("inf")
    norm = fsdp.to_float(fabric.clip_gradients(model, optimiser, max_norm=limit, error_if_nonfinite=False))
    if settings.clip_each and settings.clip:
        clip_each([p for group in optimiser.param_groups for p in group["params"]], settings.clip)
    return norm


def clip_each(parameters: Iterable[Tensor], limit: float) -> None:
    """Scales the gradient of each parameter whose norm is above the limit down to it."""
    for parameter in parameters:
        if parameter.grad is not None:
            norm = fsdp.full_scalar(torch.linalg.vector_norm(parameter.grad))
            fsdp.local_shard(parameter.grad).mul_((limit / (norm + 1e-6)).clamp(max=1))


def _nonfinite(fabric: Fabric, parts: list[dict[str, Tensor]]) -> str:
    """How many losses of all processes are not finite, and which logged values; an empty text if all are finite."""
    bad = torch.stack([torch.stack([~torch.isfinite(value).all() for value in part.values()]) for part in parts])
    counts = dict(zip(parts[0], summed(fabric, bad.sum(0)).tolist(), strict=True))
    if not (total := counts.pop("loss")):
        return ""
    names = [name for name, count in counts.items() if count]
    return f"{total} losses were NaN or infinite ({', '.join(names) or 'loss'})"


def _groups(objective: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: with and without weight decay, for each factor on the learning rate."""
    spared, scales = no_decay(objective), lr_scales(objective)
    named = [(name, p) for name, p in objective.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = []
    for scale in dict.fromkeys(scales.get(name, 1.0) for name, _ in named):
        scaled = [(name, p) for name, p in named if scales.get(name, 1.0) == scale]
        decayed = [p for name, p in scaled if name not in spared]
        undecayed = [p for name, p in scaled if name in spared]
        groups += [
            {"params": params, "weight_decay": decay, "scale": scale, "decays": params is decayed}
            for params, decay in ((decayed, settings.weight_decay), (undecayed, 0.0))
            if params
        ]
    return groups


def _at(every: int | None, step: int, end: int) -> bool:
    return every is not None and (step % every == 0 or step == end)


def _validate(fabric: Fabric, watch: Watch, average: Average, meter: Meter) -> dict[str, float]:
    """Validation scores of the averaged weights, on the first process; the time does not count as training."""
    began = time.perf_counter()
    with average.applied():
        scores = dict(watch()) if fabric.is_global_zero else {}
        fabric.barrier()
    meter.started += time.perf_counter() - began
    return scores


def _save(fabric: Fabric, folder: Path, state: dict[str, Any], average: Average, settings: Settings) -> None:
    """Writes a checkpoint: the state, the averaged weights, and the scale of fp16."""
    state["average"] = average.state(fabric.is_global_zero)
    state["precision"] = fabric._precision.state_dict()  # the scale of fp16
    checkpoints.save(fabric, folder, state["step"], state, settings.keep, settings.keep_every)


def _resume(
    fabric: Fabric,
    path: Path,
    model: Any,
    optimiser: Any,
    average: Average,
    facts: dict[str, Any],
    settings: Settings,
) -> int:
    """Restores model, optimiser and average from a checkpoint of the same run; returns its step.

    A run of the schedule "wsd" may have become longer or shorter since, as long as it has not begun to cool down.
    """
    saved, step = checkpoints.facts(path)
    if settings.common_steps(saved.get("recipe")) >= step:
        saved, facts = checkpoints.without_length(saved), checkpoints.without_length(facts)
    if saved != facts:
        changed = sorted(key for key in {*saved, *facts} if saved.get(key) != facts.get(key))
        raise ValueError(f"{path} is of another run: {', '.join(changed)} differ; choose another folder, or delete it")
    rest = fabric.load(path, {"model": model, "optimiser": optimiser})
    average.load(rest["average"])
    if scale := rest.get("precision"):
        fabric._precision.load_state_dict(scale)
    fabric.print(f"going on from {path.name}")
    return int(rest["step"])


def _due(fabric: Fabric, since: float, seconds: float) -> bool:
    """Whether so many seconds are over; the first process's clock decides for all."""
    return bool(fabric.broadcast(time.monotonic() - since > seconds))


def _batch_numbers(first: int, end: int, settings: Settings, fabric: Fabric) -> Iterable[int]:
    """The number of each batch that this process takes in steps first..end, unique over steps and processes."""
    parts = range(first * settings.accumulate, end * settings.accumulate)
    return (part * fabric.world_size + fabric.global_rank for part in parts)


def _generator(device: torch.device, seed: int, number: int) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(_mix(seed, number))


def _mix(seed: int, number: int) -> int:
    """A seed from two, such that neighbours share nothing (the finaliser of SplitMix64)."""
    x = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 1) & (2**64 - 1)
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (x ^ (x >> 31)) & (2**63 - 1)
