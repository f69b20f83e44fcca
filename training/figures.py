"""Pictures of a run, for a model's card: what it paints, where it looks, how its loss fell.

python -m training.figures loss RUN -o loss.png
python -m training.figures reconstruction RUN recording.flac -o painted.png
python -m training.figures attention RUN recording.flac -o attention.png
"""

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from hear_audioformer import audio
from hear_audioformer.msm_mae import MsmMae

from . import checkpoints, logs
from .objectives.msm_mae import MsmMaeObjective
from .pretrain import build


def load(run: Path) -> MsmMaeObjective:
    """The objective of a run with its newest weights."""
    newest = checkpoints.latest(run)
    if newest is None:
        raise click.UsageError(f"{run} holds no checkpoint")
    saved = torch.load(newest, map_location="cpu", weights_only=True)
    objective: Any = build(saved["facts"]["recipe"])
    objective.load_state_dict({name.removeprefix("_orig_mod."): tensor for name, tensor in saved["model"].items()})
    return objective.eval()


def windows(encoder: MsmMae, path: Path, count: int) -> Tensor:
    """``count`` windows of a recording, spread over it; a short one is repeated: (count, frames, bands)."""
    clip = audio.read(path, encoder.sample_rate)
    if len(clip) < encoder.window:
        clip = clip.repeat(-(-encoder.window // len(clip)))
    starts = np.linspace(0, len(clip) - encoder.window, count).astype(int)
    crops = torch.stack([clip[start : start + encoder.window] for start in starts])
    return encoder.features(crops, 0, encoder.config.frames, encoder.statistics(crops))


@torch.no_grad()
def attention(encoder: MsmMae, features: Tensor, number: int) -> Tensor:
    """Attention of a block (1..depth), averaged over heads: (batch, tokens, tokens), CLS first."""
    kept: dict[str, Tensor] = {}
    layer: Any = encoder.blocks[number - 1].attention
    hook = layer.qkv.register_forward_hook(lambda _, __, out: kept.update(qkv=out))
    encoder.run(encoder.tokens(features), [encoder.depth])
    hook.remove()
    qkv = kept["qkv"].unflatten(-1, (3, layer.heads, -1)).movedim(2, 0).transpose(2, 3)
    return (qkv[0] @ qkv[1].mT * qkv.shape[-1] ** -0.5).softmax(-1).mean(1)


def _axes(rows: int, columns: int, width: float = 3.2, height: float = 1.9) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _show(axis: Any, picture: Tensor, title: str, scale: tuple[float, float] | None = None) -> None:
    """A (frames, bands) picture, time to the right, low bands at the bottom."""
    low, high = scale or (float(picture.min()), float(picture.max()))
    axis.imshow(picture.mT.numpy(), origin="lower", aspect="auto", vmin=low, vmax=high, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


@torch.no_grad()
def draw_reconstruction(objective: MsmMaeObjective, features: Tensor) -> Any:
    """Input, what the encoder sees, and what comes out, a row each window."""
    torch.manual_seed(0)
    painted = objective.paint(features)
    rows, columns = objective.encoder.config.grid
    ph, pw = objective.encoder.config.patch
    hidden = painted.mask.unflatten(1, (rows, columns)).repeat_interleave(ph, 1).repeat_interleave(pw, 2).mT.bool()
    figure, axes = _axes(len(features), 3)
    for row, line in enumerate(axes):
        scale = (float(features[row].min()), float(features[row].max()))
        seen = features[row].masked_fill(hidden[row], torch.nan)
        shown = {"log-mel": features[row], "visible": seen, "painted": objective.picture(painted)[row]}
        for axis, (title, picture) in zip(line, shown.items(), strict=True):
            _show(axis, picture, title, scale)
    return figure


def draw_attention(encoder: MsmMae, features: Tensor, patches: int = 3) -> Any:
    """Where the CLS token and some patches look, in the middle and the last block."""
    rows, columns = encoder.config.grid
    first = 0 if encoder.cls is None else 1
    places = np.linspace(0, rows * columns - 1, patches + 2).astype(int)[1:-1].tolist()
    queries = ([("CLS", 0)] if first else []) + [
        (f"row {p // columns}, column {p % columns}", p + first) for p in places
    ]
    blocks = sorted({max(1, encoder.depth // 2), encoder.depth})
    figure, axes = _axes(1 + len(blocks), len(queries))
    for axis, (name, place) in zip(axes[0], queries, strict=True):
        _show(axis, features[0], f"log-mel; query {name}")
        if name != "CLS":
            row, column = divmod(place - first, columns)
            axis.plot((column + 0.5) * encoder.config.patch[1], (row + 0.5) * encoder.config.patch[0], "r+", ms=10)
    for line, block in zip(axes[1:], blocks, strict=True):
        weights = attention(encoder, features[:1], block)[0]
        for axis, (_, place) in zip(line, queries, strict=True):
            _show(axis, weights[place, first:].unflatten(0, (rows, columns)).mT, f"block {block}")
    return figure


def draw_loss(source: Path) -> Any:
    """The loss over the steps, from a run's folder or a log."""
    lines = logs.read(source / "log.jsonl" if source.is_dir() else source)
    figure, [[axis]] = _axes(1, 1, 6.4, 3.6)
    axis.plot([line["step"] for line in lines], [line["loss"] for line in lines], lw=1)
    axis.set_xlabel("step")
    axis.set_ylabel("loss")
    axis.set_yscale("log")
    axis.grid(alpha=0.3)
    return figure


@click.group()
def main() -> None:
    """Pictures of a run."""


OUT = click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="PNG or SVG.")
RUN = click.argument("run", type=click.Path(exists=True, path_type=Path))
CLIP = click.argument("clip", type=click.Path(exists=True, path_type=Path))


@main.command()
@RUN
@OUT
def loss(run: Path, out: Path) -> None:
    """The loss curve of RUN, or of a log."""
    draw_loss(run).savefig(out, dpi=150)


@main.command()
@RUN
@CLIP
@OUT
@click.option("--windows", "count", default=3, show_default=True)
def reconstruction(run: Path, clip: Path, out: Path, count: int) -> None:
    """Input, masked input and reconstruction of windows of CLIP."""
    objective = load(run)
    draw_reconstruction(objective, windows(objective.encoder, clip, count)).savefig(out, dpi=150)


@main.command("attention")
@RUN
@CLIP
@OUT
def attention_(run: Path, clip: Path, out: Path) -> None:
    """Attention of the CLS token and of three patches on the first window of CLIP."""
    encoder = load(run).encoder
    draw_attention(encoder, windows(encoder, clip, 1)).savefig(out, dpi=150)


if __name__ == "__main__":
    main()
