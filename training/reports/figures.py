"""Pictures of a run, for a model's card: what it paints, where it looks, how its loss fell.

python -m training.reports.figures loss RUN -o loss.png
python -m training.reports.figures reconstruction RUN recording.flac -o painted.png
python -m training.reports.figures attention RUN recording.flac -o attention.png
python -m training.reports.figures accuracy RUN -o accuracy.png
python -m training.reports.figures usage RUN recording.flac ... -o usage.png
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import torch
from torch import Tensor

from hear_audioformer import audio
from hear_audioformer.asit import Asit
from hear_audioformer.audioformer import Audioformer
from hear_audioformer.codec import Codec
from hear_audioformer.layers import Block
from hear_audioformer.msm_mae import MsmMae

from .. import logs
from ..export import learnt
from ..objectives import exported
from ..objectives.asit import AsitObjective
from ..objectives.codec import CodecObjective
from ..objectives.melcodec import MelCodecObjective
from ..objectives.msm_mae import MsmMaeObjective
from . import code_figures

Transformer = MsmMae | Asit


def windows(encoder: Transformer, path: Path, count: int) -> tuple[Tensor, list[float]]:
    """Windows of a recording, spread over it; a short one is repeated: (count, frames, bands), and where they begin."""
    clip = audio.read(path, encoder.sample_rate)
    cut = max(0, encoder.config.frames - encoder.count(encoder.window))  # frames that snipped edges cost
    samples = encoder.window + cut * encoder.front.hop
    if len(clip) < samples:
        clip = clip.repeat(-(-samples // len(clip)))
    starts = np.linspace(0, len(clip) - samples, count).astype(int).tolist()
    crops = torch.stack([clip[start : start + samples] for start in starts])
    features = encoder.features(crops, 0, encoder.config.frames, encoder.clip_context(crops))
    return features, [start / encoder.sample_rate for start in starts]


def as_map(encoder: Transformer, patches: Tensor) -> Tensor:
    """Values of all patches in the order of their tokens, (patches,) -> (columns of time, rows of frequency)."""
    grid = patches.unflatten(0, encoder.config.grid)
    return grid if isinstance(encoder, Asit) else grid.mT


@torch.no_grad()
def attention(encoder: Transformer, features: Tensor, number: int) -> Tensor:
    """Attention of a block (1..depth), averaged over heads: (batch, tokens, tokens), CLS first."""
    kept: dict[str, Tensor] = {}
    layer = cast(Block, encoder.blocks[number - 1]).attention
    hook = layer.qkv.register_forward_hook(lambda _, __, out: kept.update(qkv=out))
    encoder.run(encoder.tokens(features), [encoder.depth])
    hook.remove()
    qkv = kept["qkv"].unflatten(-1, (3, layer.heads, -1)).movedim(2, 0).transpose(2, 3)
    return (qkv[0] @ qkv[1].mT * qkv.shape[-1] ** -0.5).softmax(-1).mean(1)


def _axes(rows: int, columns: int, width: float = 3.2, height: float = 2.0) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)


def _show(
    axis: Any, encoder: Transformer, picture: Tensor, title: str, scale: tuple[float, float], **options: Any
) -> Any:
    """A (frames, bands) or (columns, rows) picture of one window, time to the right, low bands at the bottom."""
    config = encoder.config
    seconds = encoder.window / encoder.sample_rate
    image = axis.imshow(
        picture.mT.numpy(),
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, config.bands),
        vmin=scale[0],
        vmax=scale[1],
        interpolation="nearest",
        **options,
    )
    axis.set_title(title, fontsize=8)
    axis.set_facecolor("0.85")  # of what is hidden
    hertz = _centres(encoder)
    ticks = [hz for hz in (200, 500, 1000, 2000, 4000) if hertz[0] <= hz <= hertz[-1]]
    axis.set_yticks(np.interp(ticks, hertz, np.arange(config.bands) + 0.5), [f"{hz / 1000:g}" for hz in ticks])
    axis.tick_params(labelsize=7)
    if axis.get_subplotspec().is_last_row():
        axis.set_xlabel("s", fontsize=8)
    if axis.get_subplotspec().is_first_col():
        axis.set_ylabel("kHz", fontsize=8)
    return image


def _bar(figure: Any, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label(label, fontsize=7)
    bar.ax.tick_params(labelsize=7)


def _centres(encoder: Transformer) -> np.ndarray:
    """The centre of each mel band in hertz; narrow bands may hold no bin, and lie between their neighbours."""
    filters = encoder.front.filters.double().numpy()
    bins = np.arange(len(filters)) * encoder.sample_rate / encoder.front.n_fft
    weight, bands = filters.sum(0), np.arange(filters.shape[1])
    full = weight > 0
    return np.interp(bands, bands[full], (bins @ filters)[full] / weight[full])


def _range(*pictures: Tensor) -> tuple[float, float]:
    return min(float(one.min()) for one in pictures), max(float(one.max()) for one in pictures)


def draw_reconstruction(objective: MsmMaeObjective | AsitObjective, features: Tensor, starts: list[float]) -> Any:
    """Input, what the encoder sees of it, and what comes out, a row each window."""
    panels = objective.panels(features)
    figure, axes = _axes(len(features), len(panels))
    for row, line in enumerate(axes):
        for axis, (title, pictures) in zip(line, panels.items(), strict=True):
            title += f", from {starts[row]:.1f} s" * (title == "input")
            scale = (0.0, 1.0) if pictures.dtype == torch.bool else _range(features[row])
            image = _show(axis, objective.encoder, pictures[row], title, scale)
        _bar(figure, image, line, "log-mel, normalised")
    return figure


def draw_attention(encoder: Transformer, features: Tensor, patches: int = 3) -> Any:
    """Where the CLS token and some patches look, in the middle and the last block; a frame marks the patch that looks.

    The colours of a block's pictures are those of one scale.
    """
    first = 0 if encoder.cls is None else 1
    places = np.linspace(0, math.prod(encoder.config.grid) - 1, patches + 2).astype(int)[1:-1].tolist()
    queries = ([("CLS", None)] if first else []) + [(f"patch {n}", patch) for n, patch in enumerate(places, 1)]
    blocks = sorted({max(1, encoder.depth // 2), encoder.depth})
    figure, axes = _axes(1 + len(blocks), len(queries), 2.9)
    for axis, (name, _) in zip(axes[0], queries, strict=True):
        image = _show(axis, encoder, features[0], f"input; {name} looks", _range(features[0]))
    _bar(figure, image, axes[0], "log-mel, normalised")
    for line, block in zip(axes[1:], blocks, strict=True):
        weights = attention(encoder, features[:1], block)[0]
        looks = [weights[0 if patch is None else patch + first, first:] for _, patch in queries]
        for axis, (name, _), look in zip(line, queries, looks, strict=True):
            image = _show(
                axis, encoder, as_map(encoder, look), f"{name}, block {block}", (0.0, _range(*looks)[1]), cmap="magma"
            )
        _bar(figure, image, line, "attention, mean of heads")
    for line in axes:
        for axis, (_, patch) in zip(line, queries, strict=True):
            _frame(axis, encoder, patch)
    return figure


def reconstruction_of_clip(objective: MsmMaeObjective | AsitObjective, clip: Path, count: int) -> Any:
    """Windows of a recording."""
    return draw_reconstruction(objective, *windows(objective.encoder, clip, count))


def attention_on_clip(encoder: Transformer, clip: Path) -> Any:
    """The first window of a recording."""
    return draw_attention(encoder, windows(encoder, clip, 1)[0])


# What can be drawn of an objective, or of an encoder; all others have their loss.
RECONSTRUCTIONS: dict[type, Callable[[Any, Path, int], Any]] = {
    MsmMaeObjective: reconstruction_of_clip,
    AsitObjective: reconstruction_of_clip,
    CodecObjective: lambda objective, clip, count: code_figures.draw_restored(objective, clip),
    MelCodecObjective: lambda objective, clip, count: code_figures.draw_restored(objective, clip),
}
ATTENTION: dict[type, Callable[[Any, Path], Any]] = {
    MsmMae: attention_on_clip,
    Asit: attention_on_clip,
    Audioformer: code_figures.draw_attention,
}


def _frame(axis: Any, encoder: Transformer, patch: int | None) -> None:
    """Marks a patch."""
    from matplotlib.patches import Rectangle

    if patch is not None:
        is_patch = as_map(encoder, torch.arange(math.prod(encoder.config.grid)) == patch)
        [[column, row]] = is_patch.nonzero().tolist()
        width, height = (
            encoder.window / encoder.sample_rate / is_patch.shape[0],
            encoder.config.bands / is_patch.shape[1],
        )
        axis.add_patch(Rectangle((column * width, row * height), width, height, fill=False, ec="red", lw=1.5))


def draw_loss(source: Path) -> Any:
    """The loss over the steps, from a run's folder or a log."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    lines = logs.read(source / "log.jsonl" if source.is_dir() else source)
    figure, [[axis]] = _axes(1, 1, 6.4, 3.6)
    axis.plot([line["step"] for line in lines], [line["loss"] for line in lines], lw=1)
    axis.set_xlabel("step")
    axis.set_ylabel("loss (logarithmic)")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3)
    return figure


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Pictures of a run, from its folder (RUN) and recordings. All need the extra [plot].

    \b
    Examples:
      python -m training.reports.figures loss runs/tiny -o loss.png
      python -m training.reports.figures reconstruction runs/tiny docs/example.ogg -o reconstruction.png
      python -m training.reports.figures attention runs/tiny docs/example.ogg -o attention.png
    """


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
    """Input, masked input and reconstruction of windows of CLIP; of a codec, its beginning given back."""
    objective, _ = learnt(run)
    draw = RECONSTRUCTIONS.get(type(objective))
    if draw is None:
        raise click.UsageError(f"{run}: a {type(objective).__name__} reconstructs no sound; draw its loss")
    draw(objective, clip, count).savefig(out, dpi=150)


@main.command("attention")
@RUN
@CLIP
@OUT
def attention_(run: Path, clip: Path, out: Path) -> None:
    """Attention of the CLS token and of three patches on the first window of CLIP; of AudioFormer, all of it."""
    encoder = exported(learnt(run)[0])
    draw = ATTENTION.get(type(encoder))
    if draw is None:
        raise click.UsageError(f"{run}: the attention of {type(encoder).__name__} cannot be drawn, only its loss")
    draw(encoder, clip).savefig(out, dpi=150)


@main.command()
@RUN
@OUT
def accuracy(run: Path, out: Path) -> None:
    """How many masked codes were guessed in RUN, or in a log, beside what copying gets."""
    try:
        code_figures.draw_accuracy(run).savefig(out, dpi=150)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@main.command()
@RUN
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@OUT
def usage(run: Path, clips: tuple[Path, ...], out: Path) -> None:
    """How often the codes of the codec of RUN, or of the codec that its model reads, occur in the recordings CLIPS."""
    encoder = exported(learnt(run)[0])
    codec = encoder.codec if isinstance(encoder, Audioformer) else encoder
    if not isinstance(codec, Codec):
        raise click.UsageError(f"{run} has no codec")
    code_figures.draw_usage(codec, list(clips)).savefig(out, dpi=150)


if __name__ == "__main__":
    main()
