"""Training throughput of a recipe, and the hours that its published schedule would take.

    python -m training.reports.throughput msm-mae-paper loop.batch=8 precision=32-true
    torchrun --nproc-per-node 2 -m training.reports.throughput msm-mae-paper loop.batch=8 precision=32-true

Steps of ``training.loop`` on noise that is already on the device, so that no reading of data counts. The median step
counts. The MFU is of the data sheet of a GPU, or of bare matrix products in the same process. Published costs of other
models stand beside. They are of other networks and schedules: they say what a model of this field costs, and not whose
code is faster. With ``--clock cpu`` the time that processes wait for each other does not count.
"""

import statistics
from collections.abc import Iterator
from typing import Any

import click
import torch
from torch import Tensor, nn

from evaluation.reports.speed.clock import CLOCKS, Products, medians, seconds_of_rounds

from .. import loop
from ..flops import PEAKS, flops_per_crop, peak_flops
from ..loop import Meter
from ..objectives import Steers
from ..precision import settled
from ..pretrain import EFFICIENCY, fabric_for, learner
from ..recipe import Recipe, read_recipe

PUBLISHED = (  # model, hours of one device, device: as their papers state them
    ("EAT", 230, "RTX 3090"),
    ("GRAM-T", 72, "A100"),
    ("Audio-MAE", 2304, "V100"),
    ("BEATs", 3600, "V100"),
)
RATE = 1e-4  # of learning; it changes nothing about the speed


def seconds_of_steps(recipe: Recipe, objective: Any, fabric: Any, steps: int, clock: str) -> list[float]:
    """Seconds of each optimiser step, after one that does not count."""
    settings = recipe.loop
    optimiser = torch.optim.AdamW(loop._groups(objective, settings), lr=RATE, betas=settings.betas)
    steers: Steers | None = objective if hasattr(objective, "before_step") else None
    model, running = fabric.setup(objective.train(), optimiser)

    def source(batch: int, generator: torch.Generator) -> Tensor:
        return 0.1 * torch.randn(batch, objective.crop, generator=generator, device=fabric.device)

    took, now = [], CLOCKS[clock]
    for step in range(steps + 1):
        began = now()
        loop._step(model, running, source, settings, fabric, 0, step, Meter(), steers)
        if fabric.device.type == "cuda":
            torch.cuda.synchronize(fabric.device)
        took.append(now() - began)
    return took[1:]


def peak_of(device: torch.device, precision: str, clock: str) -> float:
    """The most FLOP/s of a device: from its data sheet for a GPU, else what bare matrix products get by this clock."""
    if device.type == "cuda":
        return peak_flops(device, precision)
    products = Products(torch.bfloat16 if "bf16" in precision else torch.float32, device)
    took = medians(seconds_of_rounds(products.runs(), 3, device, clock))
    return products.flops / min(took.values())


def lines_of(recipe: Recipe, rate: float, flops: float, peak: float, processes: int) -> Iterator[str]:
    """What is printed: rates, then a table of hours."""
    crops = recipe.loop.steps * recipe.loop.batch
    clips = recipe.published.clips
    share = rate * flops / peak / processes
    what = "process" if processes == 1 else "processes"
    yield f"{processes} {what}, {rate:.3g} crops/s, MFU {share:.1%}, {flops / 1e9:.3g} GFLOPs a crop"
    yield ""
    yield "| what | device | hours |"
    yield "|---|---|---|"
    about = f"{crops / clips:.3g} epochs" if clips else f"{crops:.3g} crops"
    yield f"| {recipe.name}, {about}, at this rate | this machine | {crops / rate / 3600:.3g} |"
    for device, most in PEAKS.items():
        hours = crops * flops / (most * EFFICIENCY) / 3600
        yield f"| the same, {EFFICIENCY:.0%} of the data sheet's peak | {device} | {hours:.3g} |"
    yield from (f"| {model}, as published | {device} | {hours} |" for model, hours, device in PUBLISHED)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe")
@click.argument("changes", nargs=-1)
@click.option("--steps", default=3, show_default=True, help="Steps that are timed.")
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True, help="Whose seconds.")
def main(recipe: str, changes: tuple[str, ...], steps: int, clock: str) -> None:
    """Prints crops per second and MFU of a RECIPE on noise, and hours of its schedule beside published costs."""
    chosen, published = settled(read_recipe(recipe, list(changes))), read_recipe(recipe, [])
    fabric = fabric_for(chosen.precision, chosen.strategy)
    fabric.launch()
    objective = learner(chosen)
    if not isinstance(objective, nn.Module) or not hasattr(objective, "crop") or hasattr(objective, "example"):
        raise click.UsageError(f"{recipe} learns from more than crops of sound; choose a recipe of MSM-MAE or ASiT")
    flops = flops_per_crop(objective, backward=True)
    took = statistics.median(seconds_of_steps(chosen, objective, fabric, steps, clock))
    if fabric.global_rank == 0:
        peak = peak_of(fabric.device, chosen.precision, clock)
        for line in lines_of(published, chosen.loop.batch / took, flops, peak, fabric.world_size):
            click.echo(line)


if __name__ == "__main__":
    main()
