"""Measures the throughput of models side by side in one process.

    python -m evaluation.reports.speed msm-mae --size base
    python -m evaluation.reports.speed mast --size base

MSM-MAE runs beside a plain re-implementation of the authors' path. That path pads every clip to whole windows, adds an
empty window if the clip already fits, encodes one window after another and computes the attention matrix. It uses the
same random weights and log-mel module, so only the path differs. MAST runs beside the AST of the same size, both with
our layers and fused attention. A third model, MAST without relative positions, shows what these cost.

The rounds of the models alternate, and the best round of each counts: on a shared machine the minimum is closest to
the cost of the code. On a busy machine ``--clock cpu`` counts this process's own seconds.
"""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import click
import torch
from torch import Tensor, nn

from hear_audioformer import mast
from hear_audioformer.embedder import Embedder, Encoder, Precision
from hear_audioformer.layers import Attention, Block, patchify
from hear_audioformer.msm_mae import Config, MsmMae

from ..baselines import ast


class Model(Protocol):
    """A model to time."""

    def scene(self, audio: Tensor) -> Tensor: ...


Contenders = dict[str, tuple[Model, str]]  # name -> model, name of its reference
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class AuthorsPath(nn.Module):
    """MSM-MAE as published: full windows one by one, eager attention, float32."""

    def __init__(self, encoder: MsmMae) -> None:
        super().__init__()
        self.encoder = encoder

    @torch.no_grad()
    def scene(self, audio: Tensor) -> Tensor:
        """(batch, samples) -> (batch, dim)."""
        config = self.encoder.config
        logmel = self.encoder.front(audio)
        logmel = (logmel - logmel.mean()) / logmel.std()
        frames = logmel.shape[1]
        padding = config.frames - frames % config.frames  # a whole window when there is nothing to pad
        padded = nn.functional.pad(logmel, (0, 0, 0, padding))
        windows = [self._encode(window) for window in padded.split(config.frames, dim=1)]
        columns = torch.cat(windows, dim=1)
        surplus = config.grid[1] * padding // config.frames
        return columns[:, : columns.shape[1] - surplus].mean(1)

    def _encode(self, window: Tensor) -> Tensor:
        encoder = self.encoder
        rows, columns = encoder.config.grid
        x = (encoder.embed(patchify(window, encoder.config.patch)) + encoder.positions).flatten(1, 2)
        if encoder.cls is not None:
            x = torch.cat([encoder.cls.expand(len(x), 1, -1), x], dim=1)
        for block in encoder.blocks:
            assert isinstance(block, Block)
            x = x + eager_attention(block.attention, block.attention_norm(x))
            x = x + block.mlp(block.mlp_norm(x))
        x = encoder.norm(x)[:, -rows * columns :]
        return x.unflatten(1, (rows, columns)).transpose(1, 2).flatten(2)


def eager_attention(layer: Attention, x: Tensor) -> Tensor:
    """The layer's attention with an explicit attention matrix."""
    batch, tokens, dim = x.shape
    q, k, v = layer.qkv(x).reshape(batch, tokens, 3, layer.heads, dim // layer.heads).permute(2, 0, 3, 1, 4)
    weights = ((q @ k.transpose(-2, -1)) * (dim // layer.heads) ** -0.5).softmax(dim=-1)
    return layer.out((weights @ v).transpose(1, 2).reshape(batch, tokens, dim))


def msm_mae_beside_authors(size: str, frames: int, device: torch.device) -> Contenders:
    """MSM-MAE in fp32 and bf16, beside the authors' path in fp32."""
    encoder = MsmMae(Config.of_size(size, frames=frames)).to(device).eval()
    first = "authors fp32"
    return {
        first: (AuthorsPath(encoder), first),
        "ours fp32": (Embedder(encoder, precision="fp32"), first),
        "ours bf16": (Embedder(encoder, precision="bf16"), first),
    }


def mast_beside_ast(size: str, frames: int, device: torch.device) -> Contenders:
    """MAST with and without relative positions, beside AST, in fp32 and bf16."""
    encoders: dict[str, Encoder] = {
        "ast": ast.Ast(ast.Config.of_size(size, frames=frames)),
        "mast": mast.Mast(mast.Config.of_size(size, frames=frames)),
        "mast-norel": mast.Mast(mast.Config.of_size(size, frames=frames, relative=False)),
    }
    return {
        f"{name} {precision}": (Embedder(encoder.to(device), precision=precision), f"ast {precision}")
        for precision in PRECISIONS
        for name, encoder in encoders.items()
    }


METHODS: dict[str, tuple[Callable[[str, int, torch.device], Contenders], int]] = {  # and the frames of a window
    "msm-mae": (msm_mae_beside_authors, 512),
    "mast": (mast_beside_ast, 1024),
}


def best_seconds(
    contenders: Mapping[str, Callable[[], object]], rounds: int, device: torch.device, clock: str = "wall"
) -> dict[str, float]:
    """The seconds of each model's fastest run in ``rounds`` alternating rounds, after a warm-up round."""
    best, now = dict.fromkeys(contenders, float("inf")), CLOCKS[clock]
    for number in range(rounds + 1):
        for name, run in contenders.items():
            started = now()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                best[name] = min(best[name], now() - started)
    return best


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("method", type=click.Choice(list(METHODS)))
@click.option("--size", type=click.Choice(["tiny", "small", "base"]), default="base", show_default=True)
@click.option("--frames", type=int, help="Frames of a window.  [default: 512 for MSM-MAE, 1024 for MAST]")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=(10.0, 2.0), multiple=True, show_default=True, help="Length of a clip; repeatable.")
@click.option("--batch", default=(1, 8), multiple=True, show_default=True, help="Clips in a call; repeatable.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True, help="Whose seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
def main(
    method: str,
    size: str,
    frames: int | None,
    rounds: int,
    seconds: tuple[float, ...],
    batch: tuple[int, ...],
    device: str,
    clock: str,
    as_json: bool,
) -> None:
    """Prints clips per second of METHOD and of its reference models, in fp32 and bf16."""
    torch.manual_seed(0)
    where = torch.device(device)
    make, usual = METHODS[method]
    models = make(size, frames or usual, where)
    if not as_json:
        threads = torch.get_num_threads()
        click.echo(f"{method} {size}, windows of {frames or usual} frames, {where}, {threads} threads, clips/{clock} s")
        click.echo(f"{'clip':>6} {'batch':>5} " + " ".join(f"{name:>16}" for name in models))
    for length in seconds:
        for clips in batch:
            audio = torch.randn(clips, int(length * 16000), device=where) * 0.1
            runs = {name: partial(model.scene, audio) for name, (model, _) in models.items()}
            best = best_seconds(runs, rounds, where, clock)
            rates = {name: clips / took for name, took in best.items()}
            if as_json:
                click.echo(json.dumps({"seconds": length, "batch": clips, "clips_per_second": rates}))
            else:
                pairs = ((rates[name], rates[against]) for name, (_, against) in models.items())
                cells = " ".join(f"{rate:8.2f} ({rate / slow:4.2f}x)" for rate, slow in pairs)
                click.echo(f"{length:5g}s {clips:5} {cells}")


if __name__ == "__main__":
    main()
