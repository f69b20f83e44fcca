"""What a model costs: its parameters, and the products of one forward pass, counted rather than timed.

    python -m evaluation.reports.cost mast

prints MAST beside AST for one input of 128 bands by 1024 frames and 527 classes, AudioSet's. Products (multiply and
add, MACs) are counted by two rules: all of them, and without those inside attention, which most published figures
leave out since common counters do not see them. Counting runs on the meta device, where nothing is computed and where
fused attention is taken apart and counted; on a CPU the same counter misses it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import click
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hear_audioformer import mast
from hear_audioformer.embedder import Encoder

from ..baselines import ast

CLASSES = 527
FRAMES = 1024
ATTENTION = {torch.ops.aten.bmm, torch.ops.aten.baddbmm}  # products of two activations; weights take part in others


@dataclass(frozen=True)
class Cost:
    """Of one model with a class layer, for one clip.

    Attributes:
        parameters: all of them.
        products: of a forward pass.
        outside: those of them outside attention.
    """

    parameters: int
    products: int
    outside: int


def cost(make: Callable[[], Encoder], frames: int = FRAMES, classes: int = CLASSES) -> Cost:
    """Counts a model of one clip of so many feature frames, with a linear class layer on its last layer's vector."""
    with torch.device("meta"):
        encoder = make().eval()
        head = nn.Linear(encoder.layer_dim(encoder.depth), classes)
        features = torch.zeros(1, frames, 128)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        [vectors] = encoder.pooled_layers(features, [encoder.depth], encoder.pool)
        head(vectors[:, 0])
    flops = counter.get_flop_counts()["Global"]
    inside = sum(count for operator, count in flops.items() if operator in ATTENTION)
    parameters = sum(parameter.numel() for module in (encoder, head) for parameter in module.parameters())
    return Cost(parameters, sum(flops.values()) // 2, (sum(flops.values()) - inside) // 2)


def contenders() -> dict[str, Callable[[], Encoder]]:
    """All sizes of both models, AST-base first: the others are measured by it."""
    sizes = sorted(ast.SIZES, key=lambda size: size != "base")
    made: dict[str, Callable[[], Encoder]] = {f"ast-{size}": partial(_ast, size) for size in sizes}
    return made | {f"mast-{size}": partial(_mast, size) for size in mast.SIZES}


def _ast(size: str) -> Encoder:
    return ast.Ast(ast.Config.of_size(size))


def _mast(size: str) -> Encoder:
    return mast.Mast(mast.Config.of_size(size))


@click.command()
@click.argument("method", type=click.Choice(["mast"]))
@click.option("--frames", default=FRAMES, show_default=True, help="Of 10 ms; AST takes no more than 1024.")
def main(method: str, frames: int) -> None:
    """Prints what METHOD's sizes cost beside AST's, and the share of AST-base's cost that they save."""
    click.echo(f"{method} beside AST: 128 x {frames}, {CLASSES} classes")
    click.echo("")
    click.echo(
        "| model | parameters, M | of AST-base's | GMACs | AST-base's to it | GMACs outside attention | likewise |"
    )
    click.echo("|---|---|---|---|---|---|---|")
    base = None
    for name, make in contenders().items():
        found = cost(make, frames)
        base = base or found
        click.echo(
            f"| {name} | {found.parameters / 1e6:.2f} | {found.parameters / base.parameters:.1%} "
            f"| {found.products / 1e9:.2f} | {base.products / found.products:.2f}x "
            f"| {found.outside / 1e9:.2f} | {base.outside / found.outside:.2f}x |"
        )


if __name__ == "__main__":
    main()
