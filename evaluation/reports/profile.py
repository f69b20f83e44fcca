"""Where the time of each method goes, from waveform to vector.

    python -m evaluation.reports.profile --size base --seconds 10

Times are of one thread by this process's own clock, so a busy machine changes them little; the median of all calls
counts. Each part is timed where it is called. "attention" is what surrounds the linear layers there: products of
queries and keys, and MAST's pools and positions. AudioFormer's stands in "rest of the blocks", with norms and
GELU. "the rest" cuts windows and adds frames up. Weights are random.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import click
import torch
from torch import nn

from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.layers import Linear

from .speed.contenders import FRAMES, METHODS, encoder_of

PARTS = ("front end", "patch embedding", "linear layers", "attention", "rest of the blocks", "pooling", "the rest")
EMBEDDINGS = ("embed", "stem", "embeddings")  # modules that make tokens of features


class Watch:
    """Seconds by part. Parts may lie in each other; a part's own seconds leave out those inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.inside: list[float] = []
        self.started: list[float] = []

    def enter(self) -> None:
        self.started.append(time.process_time())
        self.inside.append(0.0)

    def leave(self, part: str) -> None:
        took = time.process_time() - self.started.pop()
        self.seconds[part] += took - self.inside.pop()
        if self.inside:
            self.inside[-1] += took

    def function(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is timed."""

        def timed(*args: Any, **options: Any) -> Any:
            self.enter()
            try:
                return function(*args, **options)
            finally:
                self.leave(part)

        return timed

    def module(self, part: str, module: nn.Module) -> None:
        """Times every call of a module."""
        module.register_forward_pre_hook(lambda *_: self.enter())
        module.register_forward_hook(lambda *_: self.leave(part))


def watched(encoder: Encoder) -> Watch:
    """Times the parts of an encoder. The views that an ``Embedder`` makes share hooks and attributes."""
    watch = Watch()
    parts = {"clip_context": "front end", "features": "front end", "pooled_layers": "pooling"}
    for name, part in parts.items():
        encoder.__dict__[name] = watch.function(part, getattr(encoder, name))
    for name, module in encoder.named_modules():
        if name.rsplit(".", 1)[-1] in EMBEDDINGS:
            watch.module("patch embedding", module)
    for block in blocks_of(encoder):
        watch.module("rest of the blocks", block)
        for name, module in block.named_modules():
            if isinstance(module, Linear):
                watch.module("linear layers", module)
            elif name == "attention":
                watch.module("attention", module)
    return watch


def blocks_of(encoder: Encoder) -> Iterator[nn.Module]:
    """The transformer blocks of all towers, each once."""
    lists = [getattr(module, "blocks", None) for module in encoder.modules()]
    seen: set[nn.Module] = set()
    for block in (block for blocks in lists if isinstance(blocks, nn.ModuleList) for block in blocks):
        if block not in seen:
            seen.add(block)
            yield block


def profile(encoder: Encoder, seconds: float, batch: int, rounds: int) -> dict[str, float]:
    """Median seconds of a call by part, the whole last."""
    audio = 0.1 * torch.randn(batch, int(seconds * encoder.sample_rate))
    watch = watched(encoder)
    scene = watch.function("the rest", Embedder(encoder, precision="fp32").scene)
    calls: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        watch.seconds.clear()
        scene(audio)
        calls.append({part: watch.seconds[part] for part in PARTS} | {"all": sum(watch.seconds.values())})
    return {part: statistics.median(call[part] for call in calls[1:]) for part in calls[0]}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("methods", nargs=-1, type=click.Choice(METHODS))
@click.option("--size", default="base", show_default=True)
@click.option("--seconds", default=(10.0, 2.0), multiple=True, show_default=True, help="Length of a clip; repeatable.")
@click.option("--batch", default=1, show_default=True, help="Clips in a call.")
@click.option("--rounds", default=3, show_default=True)
def main(methods: tuple[str, ...], size: str, seconds: tuple[float, ...], batch: int, rounds: int) -> None:
    """Prints the share of each part in the time of METHODS, by default of all."""
    torch.set_num_threads(1)
    click.echo("| model | clip | CPU seconds | " + " | ".join(PARTS) + " |\n" + "|---" * (3 + len(PARTS)) + "|")
    for method in methods or METHODS:
        for length in seconds:
            torch.manual_seed(0)
            frames = {"frames": FRAMES[method]} if method in FRAMES else {}
            took = profile(encoder_of(method, size, **frames), length, batch, rounds)
            shares = " | ".join(f"{took[part] / took['all']:.1%}" for part in PARTS)
            click.echo(f"| {method}-{size} | {length:g} s | {took['all']:.3f} | {shares} |")


if __name__ == "__main__":
    main()
