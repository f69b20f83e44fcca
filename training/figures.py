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
from hear_audioformer.asit import Asit
from hear_audioformer.msm_mae import MsmMae

from . import checkpoints, logs
from .objectives import exported
from .objectives.asit import AsitObjective
from .objectives.msm_mae import MsmMaeObjective
from .pretrain import build

Painting = MsmMaeObjective | AsitObjective  # objectives that restore what they hid


def load(run: Path) -> Painting:
    """The objective of a run with its newest weights."""
    newest = checkpoints.latest(run)
    if newest is None:
        raise click.UsageError(f"{run} holds no checkpoint")
    saved = torch.load(newest, map_location="cpu", weights_only=True)
    objective: Any = build(saved["facts"]["recipe"])
    objective.load_state_dict({name.removeprefix("_orig_mod."): tensor for name, tensor in saved["model"].items()})
    return objective.eval()


def windows(objective: Painting, path: Path, count: int) -> Tensor:
    """``count`` windows of a recording, spread over it; a short one is repeated: (count, frames, bands)."""
    encoder = objective.encoder
    samples = objective.view if isinstance(objective, AsitObjective) else encoder.window
    clip = audio.read(path, encoder.sample_rate)
    if len(clip) < samples:
        clip = clip.repeat(-(-samples // len(clip)))
    starts = np.linspace(0, len(clip) - samples, count).astype(int)
    crops = torch.stack([clip[start : start + samples] for start in starts])
    return encoder.features(crops, 0, encoder.config.frames, encoder.statistics(crops))


def as_map(encoder: MsmMae | Asit, patches: Tensor) -> Tensor:
    """Values of all patches in the order of their tokens, (patches,) -> (columns of time, rows of frequency)."""
    first = patches.unflatten(0, encoder.config.grid)
    return first if isinstance(encoder, Asit) else first.mT


@torch.no_grad()
def attention(encoder: MsmMae | Asit, features: Tensor, number: int) -> Tensor:
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


def draw_reconstruction(objective: Painting, features: Tensor) -> Any:
    """Input, what the encoder sees, and what comes out, a row each window."""
    panels = objective.panels(features)
    figure, axes = _axes(len(features), len(panels))
    for row, line in enumerate(axes):
        scale = (float(features[row].min()), float(features[row].max()))
        for axis, (title, pictures) in zip(line, panels.items(), strict=True):
            _show(axis, pictures[row], title, (0.0, 1.0) if pictures.dtype == torch.bool else scale)
    return figure


def draw_attention(encoder: MsmMae | Asit, features: Tensor, patches: int = 3) -> Any:
    """Where the CLS token and some patches look, in the middle and the last block."""
    first, count = 0 if encoder.cls is None else 1, int(np.prod(encoder.config.grid))
    column_of, row_of = (as_map(encoder, torch.arange(count)) == torch.arange(count)[:, None, None]).nonzero().mT[1:]
    places = np.linspace(0, count - 1, patches + 2).astype(int)[1:-1].tolist()
    queries = ([("CLS", 0)] if first else []) + [(f"row {row_of[p]}, column {column_of[p]}", p + first) for p in places]
    blocks = sorted({max(1, encoder.depth // 2), encoder.depth})
    figure, axes = _axes(1 + len(blocks), len(queries))
    columns, rows = as_map(encoder, torch.arange(count)).shape
    for axis, (name, place) in zip(axes[0], queries, strict=True):
        _show(axis, features[0], f"input; query {name}")
        if name != "CLS":
            across, up = (int(part[place - first]) + 0.5 for part in (column_of, row_of))
            axis.plot(across * features.shape[1] / columns, up * features.shape[2] / rows, "r+", ms=10)
    for line, block in zip(axes[1:], blocks, strict=True):
        weights = attention(encoder, features[:1], block)[0]
        for axis, (_, place) in zip(line, queries, strict=True):
            _show(axis, as_map(encoder, weights[place, first:]), f"block {block}")
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
    draw_reconstruction(objective, windows(objective, clip, count)).savefig(out, dpi=150)


@main.command("attention")
@RUN
@CLIP
@OUT
def attention_(run: Path, clip: Path, out: Path) -> None:
    """Attention of the CLS token and of three patches on the first window of CLIP."""
    objective = load(run)
    encoder: Any = exported(objective)
    draw_attention(encoder, windows(objective, clip, 1)).savefig(out, dpi=150)


if __name__ == "__main__":
    main()
