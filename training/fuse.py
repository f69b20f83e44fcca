"""A fusion -> a weight file: standardises parts over a corpus, and finds the principal components of each.

    python -m training.fuse mine data/open --part "msm-mae-tiny components=[512,384]" --part log-frequency \\
        --licence Apache-2.0

Draws crops of several lengths, embeds them with each part, and writes means, deviations and principal axes of scenes
and of timestamps. The file is entered into ``weights/index.json``.
"""

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import click
import torch
import yaml
from torch import Tensor

from corpora.clips import RATE
from corpora.pack import Pack, PackError
from hear_audioformer import checkpoint, fusion, weights
from hear_audioformer.assignments import AssignmentError, assignments
from hear_audioformer.checkpoint import Header, WeightsError
from hear_audioformer.facts import facts
from hear_audioformer.fusion.composition import Standardisation
from hear_audioformer.fusion.fusion import FRONTS
from hear_audioformer.model import Model

from .export import WEIGHTS, enter, half, require_free

SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)  # lengths of crops, in turn; a shorter clip is taken whole
TOGETHER = 20  # crops in one call
EVERY, FRAMES = 4, 16  # timestamps cost more than scenes: some frames of each fourth crop, at random
FAINTEST = 1e-3  # deviations below this share of their part's mean deviation are raised to it


def part_of(text: str) -> fusion.Part:
    """A part from its name and options: ``msm-mae-tiny pool=mean components=[512,384]``, or ``log-frequency``."""
    name, *pairs = shlex.split(text)
    options = dict(assignments(pairs, yaml.safe_load))
    try:
        scene, frame = options.pop("components", (0, 0))
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"{name}: give components of scenes and of timestamps, components=[512,384]") from error
    kept = {"scene_components": scene, "frame_components": frame}
    if unknown := options.keys() - ({"layers", "pool"} if name not in FRONTS else set()):
        has = "components" if name in FRONTS else "layers, pool and components"
        raise click.UsageError(f"{name}: {', '.join(sorted(unknown))} is no option of it; it has {has}")
    if name in FRONTS:
        return fusion.Part(front=name, **kept, **widths(FRONTS[name]()))
    path = weights.resolve(name)
    model = weights.open_model(path, **options)
    return fusion.Part(name, checkpoint.sha256(path), **options, **kept, **widths(model))


def widths(model: Model) -> dict[str, Any]:
    return {"scene": model.scene_embedding_size, "frame": model.timestamp_embedding_size}


def crops(pack: Pack, count: int, seed: int) -> Iterator[Tensor]:
    """Crops (samples,) of clips drawn with equal chances, at random places."""
    generator = torch.Generator().manual_seed(seed)
    for number, clip in enumerate(torch.randint(len(pack), (count,), generator=generator).tolist()):
        samples = torch.from_numpy(pack.clip(clip))
        length = min(int(SECONDS[number % len(SECONDS)] * RATE), len(samples))
        start = int(torch.randint(len(samples) - length + 1, (), generator=generator))
        yield samples[start : start + length].float() / 32768


def embedded(model: Model, pack: Pack, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Scenes of all crops, and some of their timestamps: (crops, scene) and (frames, frame)."""
    generator = torch.Generator().manual_seed(seed)
    scenes, frames = [], []
    drawn = crops(pack, count, seed)
    with click.progressbar(length=count, label="embedding", file=sys.stderr) as bar:
        while some := list(islice(drawn, TOGETHER)):
            scenes.append(model.scene(some))
            for crop in some[::EVERY]:
                found = model.timestamps(crop[None])[0][0]
                frames.append(found[torch.randperm(len(found), generator=generator)[:FRAMES]])
            bar.update(len(some))
    return torch.cat(scenes), torch.cat(frames)


@torch.no_grad()
def fit(standardisation: Standardisation, values: Tensor) -> list[float]:
    """Sets all that a standardisation holds, from values (rows, values).

    Returns the share of each part's variance that its components keep.
    """
    std, mean = torch.std_mean(values.double(), dim=0)
    std = torch.cat([part.clamp(min=FAINTEST * float(part.mean())) for part in std.split(standardisation.widths)])
    standardisation.mean.copy_(mean)
    standardisation.std.copy_(std)
    kept = []
    standardised = ((values - mean) / std).split(standardisation.widths, dim=1)
    for part, found in zip(standardisation.projections, standardised, strict=True):
        if isinstance(part.axes, Tensor):
            axes, share = principal_axes(found, len(part.axes))
            part.axes.copy_(axes / (found @ axes.mT).var(0).mean().sqrt())
            kept.append(share)
        else:
            kept.append(1.0)
    return kept


def principal_axes(centred: Tensor, count: int) -> tuple[Tensor, float]:
    """The first principal axes of rows with mean 0, (count, values), and their share of the variance.

    Of few rows the axes come from the products of rows, a smaller matrix than that of values.
    """
    rows, values = centred.shape
    if count > min(rows - 1, values):
        raise click.UsageError(f"{rows} rows of {values} values have no {count} principal axes: draw more crops")
    if rows < values:
        variances, products = torch.linalg.eigh(centred @ centred.mT)
        axes = (centred.mT @ products[:, rows - count :]).mT
    else:
        variances, vectors = torch.linalg.eigh(centred.mT @ centred)
        axes = vectors[:, values - count :].mT
    axes = torch.nn.functional.normalize(axes, dim=1).flip(0)
    signs = torch.where(axes.sum(1, keepdim=True) < 0, -1.0, 1.0)  # otherwise a matter of the library
    return axes * signs, float(variances[len(variances) - count :].sum() / variances.sum()) if count else 0.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.argument("corpus", type=click.Path(exists=True, path_type=Path))
@click.option("--part", "texts", multiple=True, required=True, metavar="PART", help='NAME, or "NAME pool=mean ...".')
@click.option("--crops", "count", default=4000, show_default=True, type=click.IntRange(min=2), help="Crops to draw.")
@click.option("--dims", default=0, show_default=True, help="Values of an embedding by default; 0: all of the parts.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=WEIGHTS,
    help="Folder with index.json.  [default: weights/ of this clone, whose models are known by name]",
)
@click.option("--overwrite", is_flag=True, help="Replace a model of this name.")
@click.option("--licence", required=True, help="Under which the statistics may be used, e.g. Apache-2.0.")
def main(
    name: str,
    corpus: Path,
    texts: tuple[str, ...],
    count: int,
    dims: int,
    seed: int,
    out: Path,
    overwrite: bool,
    licence: str,
) -> None:
    """Fuses parts into the model NAME, standardised over the pack in CORPUS.

    A part is a model, with options layers and pool, or a front end: log-frequency, modulation, course, gabor or
    cepstral-change. Either has components=[SCENE,TIMESTAMP]: so many of its principal components take its place.
    """
    require_free(out / "index.json", name, overwrite)
    try:
        pack = Pack.open(corpus)
        parts = tuple(part_of(text) for text in texts)
        config = fusion.Config(parts, dims)
        composition = fusion.Composition(replace(config, dims=0))
        plain = tuple(replace(part, scene_components=0, frame_components=0) for part in parts)
        unchanged = fusion.Composition(fusion.Config(plain))  # standardised by nothing yet
        scenes, frames = embedded(unchanged.model(), pack, count, seed)
    except (PackError, WeightsError, AssignmentError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    shares = {
        "scene": fit(composition.scene, scenes),
        "frame": fit(composition.frame, frames),
    }
    provenance = {
        "crops": count,
        "seconds": SECONDS,
        "seed": seed,
        "frames": len(frames),
        "corpus_sha256": pack.fingerprint,
        "corpus_hours": round(pack.hours, 2),
        "variance_of_components": {kind: [round(share, 4) for share in kept] for kind, kept in shares.items()},
    }
    tensors = {key: half(value) if key.endswith("axes") else value for key, value in composition.state_dict().items()}
    path = out / f"{name}.safetensors"
    digest = checkpoint.write(path, tensors, Header(fusion.METHOD, asdict(config), {}, provenance, licence))
    entry = {"method": fusion.METHOD, "file": path.name, "size": path.stat().st_size, "sha256": digest}
    entry["about"] = facts(path)
    enter(out / "index.json", name, entry)
    click.echo(json.dumps({name: entry, **provenance}, indent=2))


if __name__ == "__main__":
    main()
