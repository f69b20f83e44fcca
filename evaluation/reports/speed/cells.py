"""A cell of the table: contenders on clips of one length, in batches of one size."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from .clock import Products, medians, seconds_of_rounds
from .contenders import DTYPES, Contenders
from .flops import flops_of

HEADER = "| clip | batch | model | clips/s | factor | share of the peak |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """One contender's figures.

    Attributes:
        name: of the contender.
        seconds: length of a clip.
        batch: clips in a call.
        rate: clips a second.
        factor: to the rate of what it is compared with, whose name is ``against``.
        share: of the rate at which the machine multiplies matrices at this precision.
    """

    name: str
    seconds: float
    batch: int
    rate: float
    factor: float
    against: str
    share: float


def runnable(contenders: Contenders, seconds: float) -> list[str]:
    """Those that take a clip of this length whole."""
    return [name for name, contender in contenders.items() if seconds <= contender.longest]


def rows_of(
    contenders: Contenders, seconds: float, batch: int, rounds: int, device: torch.device, clock: str
) -> Iterator[Row]:
    """The figures of one cell, with the products in the same rounds."""
    audio = 0.1 * torch.randn(batch, int(seconds * 16000), device=device)
    flops: dict[str, int] = {}
    for name in runnable(contenders, seconds):
        contender = contenders[name]
        counted = next((key for key in flops if key.rsplit(" ", 1)[0] == name.rsplit(" ", 1)[0]), None)
        flops[name] = flops[counted] if counted else flops_of(partial(contender.run, audio[:1]))
    runs = {name: partial(contenders[name].run, audio) for name in flops}
    products = {
        precision: Products(DTYPES[precision], device) for precision in {contenders[name].precision for name in flops}
    }
    yardsticks = {
        f"{name} {precision}": run for precision, made in products.items() for name, run in made.runs().items()
    }
    took = medians(seconds_of_rounds({**yardsticks, **runs}, rounds, device, clock))
    for name in runs:
        contender = contenders[name]
        peak = peak_of(took, contender.precision, products[contender.precision].flops)
        against = contender.against if contender.against in took else name
        yield Row(
            name, seconds, batch, batch / took[name], took[against] / took[name], against,
            flops[name] * batch / took[name] / peak,
        )  # fmt: skip


def peak_of(took: Mapping[str, float], precision: str, flops: int) -> float:
    """FLOP/s of the fastest products of a precision."""
    return flops / min(took[name] for name in took if name.startswith("products") and name.endswith(precision))


def line_of(row: Row) -> str:
    """A row of the table."""
    factor = "" if row.against == row.name else f"{row.factor:.2f}x {row.against}"
    return f"| {row.seconds:g} s | {row.batch} | {row.name} | {row.rate:.3g} | {factor} | {row.share:.0%} |"
