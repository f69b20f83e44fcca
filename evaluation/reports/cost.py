"""Counts a model's parameters and the multiplications of one forward pass.

    python -m evaluation.reports.cost mast

prints MAST beside AST for AudioSet's input: 128 bands by 1024 frames, 527 classes. Multiply-accumulate operations
(MACs) are counted with and without those inside attention: common counters miss these, so most published figures leave
them out. The counter runs on the meta device, which computes nothing and decomposes fused attention into countable
operations; on a CPU the same counter misses it.
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
ATTENTION = {torch.ops.aten.bmm, torch.ops.aten.baddbmm}  # products of two activations; all others involve weights


@dataclass(frozen=True)
class Cost:
    """The cost of one model with a class layer, for one clip.

    Attributes:
        parameters: number of parameters.
        products: MACs of a forward pass.
        outside: MACs outside attention.
    """

    parameters: int
    products: int
    outside: int


def cost(make: Callable[[], Encoder], frames: int = FRAMES, classes: int = CLASSES) -> Cost:
    """The cost of a model for one clip of ``frames`` feature frames, with a linear layer of ``classes`` on top."""
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
    """All sizes of both models; AST-base comes first, as the others are compared with it."""
    sizes = sorted(ast.SIZES, key=lambda size: size != "base")
    made: dict[str, Callable[[], Encoder]] = {f"ast-{size}": partial(_ast, size) for size in sizes}
    return made | {f"mast-{size}": partial(_mast, size) for size in mast.SIZES}


def _ast(size: str) -> Encoder:
    return ast.Ast(ast.Config.of_size(size))


def _mast(size: str) -> Encoder:
    return mast.Mast(mast.Config.of_size(size))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("method", type=click.Choice(["mast"]))
@click.option("--frames", default=FRAMES, show_default=True, help="Of 10 ms; AST takes no more than 1024.")
def main(method: str, frames: int) -> None:
    """Prints the cost of METHOD's sizes beside AST's, relative to AST-base."""
    click.echo(f"{method} beside AST: 128 x {frames}, {CLASSES} classes")
    click.echo("")
    click.echo(
        "| model | parameters, M | of AST-base's | GMACs | AST-base's to it | GMACs outside attention | likewise |"
    )
    click.echo("|---|---|---|---|---|---|---|")
    base = None
    for name, make in contenders().items():
        measured = cost(make, frames)
        base = base or measured
        click.echo(
            f"| {name} | {measured.parameters / 1e6:.2f} | {measured.parameters / base.parameters:.1%} "
            f"| {measured.products / 1e9:.2f} | {base.products / measured.products:.2f}x "
            f"| {measured.outside / 1e9:.2f} | {base.outside / measured.outside:.2f}x |"
        )


if __name__ == "__main__":
    main()
