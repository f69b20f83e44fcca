"""A picture of a recording: its log-mel spectrogram, and the recordings of a folder that sound most like it.

    apt-get download lomiri-sounds && dpkg -x lomiri-sounds_*.deb sounds
    python -m evaluation.reports.neighbours docs/example.ogg sounds -o docs/figures/readme.png

Neighbours are by cosine similarity of scene embeddings, standardised over the folder.
"""

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from hear_audioformer import audio, load_model
from hear_audioformer.model import Model

RATE = 16000
SHOWN = 3  # neighbours
COPY = 0.999  # similarity of the recording itself
SECONDS = 6.0  # of a spectrogram at most


def similarities(model: Model, recording: Path, folder: Path) -> list[tuple[float, Path]]:
    """Cosine similarity of every other recording of a folder, the most similar first; copies of it are left out."""
    paths = list(audio.find([folder]))
    if len(paths) < SHOWN:
        raise click.UsageError(f"{folder} holds {len(paths)} other recordings: at least {SHOWN} are needed")
    vectors = torch.stack([model.scene(audio.read(path, model.sample_rate)[None])[0] for path in (recording, *paths)])
    mean, deviation = vectors[1:].mean(0), vectors[1:].std(0).clamp(min=1e-6)
    directions = torch.nn.functional.normalize((vectors - mean) / deviation, dim=-1)
    cosines = (directions[1:] @ directions[0]).tolist()
    return sorted(((value, path) for value, path in zip(cosines, paths, strict=True) if value < COPY), reverse=True)


def log_mel(path: Path) -> tuple[Tensor, float]:
    """The beginning of a recording as (frames, bands), in dB below its loudest, and its length in seconds."""
    samples = audio.read(path, RATE)[: int(SECONDS * RATE)]
    power = torch.stft(samples, 512, 128, window=torch.hann_window(512), return_complex=True).abs().square()
    points = torch.linspace(0, 2840, 82)  # mel, to 8 kHz
    hertz = 700 * (10 ** (points / 2595) - 1)
    bins = torch.arange(257) * RATE / 512
    rise, fall = hertz[1:-1, None] - hertz[:-2, None], hertz[2:, None] - hertz[1:-1, None]
    weights = torch.minimum((bins - hertz[:-2, None]) / rise, (hertz[2:, None] - bins) / fall).clamp(min=0)
    decibels = 10 * (weights @ power + 1e-10).log10()
    return (decibels - decibels.max()).clamp(min=-70).mT, len(samples) / RATE


def draw(recording: Path, ranked: list[tuple[float, Path]], shape: int) -> Any:
    """The figure: the recording above the arrow, its neighbours and the least similar recording to the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.0), layout="constrained", dpi=100, facecolor="white")
    grid = figure.add_gridspec(2, 4, width_ratios=[1.7, 1, 1, 0.04])
    _show(figure.add_subplot(grid[:, 0]), recording, f"{recording.name} → {shape} values", 10)
    chosen = [*ranked[:SHOWN], ranked[-1]]
    titles = [f"{number}. {path.stem}" for number, (_, path) in enumerate(chosen[:SHOWN], start=1)]
    titles.append(f"least like it: {chosen[-1][1].stem}")
    for place, ((cosine, path), title) in enumerate(zip(chosen, titles, strict=True)):
        axis = figure.add_subplot(grid[place // 2, 1 + place % 2])
        _show(axis, path, f"{title}  ({cosine:+.2f})", 8)
    return figure


def _show(axis: Any, path: Path, title: str, size: int) -> None:
    values, seconds = log_mel(path)
    axis.imshow(values.mT.numpy(), origin="lower", aspect="auto", extent=(0, seconds, 0, 80), cmap="magma")
    hertz = np.array([250, 1000, 4000])
    axis.set_yticks(2595 * np.log10(1 + hertz / 700) / 2840 * 80, [f"{value / 1000:g} kHz" for value in hertz])
    axis.tick_params(labelsize=7)
    axis.set_title(title, fontsize=size)
    axis.set_xlabel("s", fontsize=7, labelpad=1)


def fewer_colours(path: Path) -> None:
    """Stores a PNG with a palette of 256 colours, in less than half the bytes."""
    from PIL import Image

    with Image.open(path) as image:
        fewer = image.convert("RGB").quantize(256)
    fewer.save(path, optimize=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="PNG or SVG.")
@click.option("--model", default="", help="What load_model takes.  [default: the default model]")
def main(recording: Path, folder: Path, out: Path, model: str) -> None:
    """Draws RECORDING and the recordings of FOLDER that sound most like it. Takes seconds; needs the extra [plot].

    \b
    Example:
      python -m evaluation.reports.neighbours docs/example.ogg sounds -o docs/figures/readme.png
    """
    chosen = load_model(model)
    ranked = similarities(chosen, recording, folder)
    draw(recording, ranked, chosen.scene_embedding_size).savefig(out)
    if out.suffix == ".png":
        fewer_colours(out)
    for cosine, path in ranked[:SHOWN]:
        click.echo(f"{cosine:+.2f}  {path.relative_to(folder)}")


if __name__ == "__main__":
    main()
