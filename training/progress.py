"""The lines of a run's log: means over the steps since the line before, and how fast the steps were."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from .flops import flops_per_crop, peak_flops
from .logs import Log
from .settings import Settings


@dataclass
class Meter:
    """Losses and times since the last line of the log."""

    values: dict[str, list[Tensor]] = field(default_factory=lambda: {"loss": []})  # of steps that counted
    steps: int = 0
    left_out: int = 0  # of these steps, for a loss that was not finite
    started: float = field(default_factory=time.perf_counter)
    waited: float = 0.0  # seconds spent on reading batches
    lengths: list[int] = field(default_factory=list)  # samples of each clip, where clips are not all of one length

    def add(self, parts: list[dict[str, Tensor]]) -> None:
        for part in parts:
            for name, value in part.items():
                self.values.setdefault(name, []).append(value)


class Progress:
    """Measures steps, and writes and prints a line for some of them; the first process does so for all.

    Attributes:
        meter: of the steps since the last line.

    Made before the model is given to the processes: FLOPs are counted on the objective as it is.
    """

    def __init__(self, objective: nn.Module, settings: Settings, fabric: Fabric) -> None:
        self.settings, self.fabric, self.meter = settings, fabric, Meter()
        self.flops, self.crop = flops_per_crop(objective, backward=True), int(getattr(objective, "crop", 0))
        self.peak = peak_flops(fabric.device, str(fabric._precision.precision))
        self.log: Log | None = None

    def begin(self, folder: Path, step: int, before: Path | None) -> None:
        """Opens the log at a step; ``before`` is the folder of the run that this one branched from."""
        self.log = Log(folder, step, before) if self.fabric.is_global_zero else None
        self.meter = Meter()

    def line(self, done: int, values: dict[str, float]) -> None:
        """The line of a step that is done: what was measured, and these values."""
        values = measured(self.meter, self.settings, self.fabric, self.flops, self.peak, self.crop) | values
        if self.log:
            self.log.write(done, values)
            self._show(done, values)
        self.meter = Meter()

    def close(self) -> None:
        if self.log:
            self.log.close()

    def _show(self, done: int, values: dict[str, float]) -> None:
        steps = self.settings.steps
        minutes = (steps - done) * self.settings.batch / values["crops_per_second"] / 60
        scores = "".join(f"{name} {value:.4f}  " for name, value in values.items() if name.startswith("valid"))
        print(
            f"step {done}/{steps}  loss {values['loss']:.4f}  {scores}{values['crops_per_second']:.0f} crops/s  "
            f"mfu {values['mfu']:.1%}  lr {values['lr']:.2e}  {minutes:.0f} min left",
            flush=True,
        )


def measured(
    meter: Meter, settings: Settings, fabric: Fabric, flops: float, peak: float, crop: int = 0
) -> dict[str, float]:
    """Means and speeds of the steps of a meter, the same on every process.

    Args:
        flops: of one crop.
        peak: FLOPs a second that one process's device can make.
        crop: samples of a crop; shorter clips need fewer FLOPs.
    """
    took = time.perf_counter() - meter.started
    rate = meter.steps * settings.batch / took
    share = sum(meter.lengths) / (len(meter.lengths) * crop) if meter.lengths else 1.0
    none = [torch.full((), torch.nan, device=fabric.device)]  # where every step was left out
    mean = {name: torch.stack(values or none).float().nanmean() for name, values in meter.values.items()}
    values = {name: float(summed(fabric, value) / fabric.world_size) for name, value in mean.items()}
    return values | {
        "left_out": meter.left_out,
        "crops_per_second": rate,
        "mfu": flops * share * rate / (peak * fabric.world_size),
        "data_share": meter.waited / took,
    }


def summed(fabric: Fabric, value: Tensor) -> Tensor:
    """The sum of a value over all processes."""
    if fabric.world_size == 1:
        return value
    total = fabric.all_reduce(value, reduce_op="sum")
    assert isinstance(total, Tensor)
    return total
