"""Self-supervised pretraining from a recipe.

    python -m training.pretrain msm-mae-open runs/msm-mae-tiny data.corpus=data/open
    torchrun --nproc-per-node 8 -m training.pretrain msm-mae-paper runs/base data.corpus=data/audioset
    python -m training.pretrain msm-mae-paper --dry-run h100

A recipe is a YAML file, by path or by its name in ``training/recipes``; KEY=VALUE changes single entries. The same
command goes on from the run's last checkpoint.
"""

import json
import os
from pathlib import Path
from typing import Any

import click
import torch
from lightning.fabric import Fabric
from torch import nn

from corpora.pack import PackError
from hear_audioformer import checkpoint, weights

from . import fsdp, methods
from .data import readers
from .data.labelled_set import LabelledSet
from .data.stream import StreamError
from .flops import PEAKS, flops_per_crop
from .loop import DivergedError, leave, train
from .objectives import start_from, trainable
from .precision import plugin, settled
from .recipe import Recipe, read_recipe
from .validation import MeanPrecision

EFFICIENCY = 0.35  # share of a device's peak that the hours of a dry run assume


def build(recipe: Recipe) -> nn.Module:
    """The objective of a recipe, around an encoder with the initial weights of its seed."""
    torch.manual_seed(recipe.seed)
    encoder = methods.module_of(recipe.method).build(vars(recipe.encoder))
    objective: nn.Module = methods.objective_of(recipe.method, recipe.stage).build(encoder, **recipe.objective)
    readers.choose(recipe.data, objective)
    return objective


def learner(recipe: Recipe) -> Any:
    """The objective of a recipe that gradients can teach."""
    objective = build(recipe)
    if not trainable(objective):
        raise click.UsageError("nothing here learns by gradients: fit it with python -m training.fit_melrvq")
    return objective


def start(recipe: Recipe, objective: nn.Module) -> dict[str, str]:
    """Gives the encoder the weights of the model that ``init`` names, by name, path or address; what they were."""
    if not recipe.init:
        return {}
    path = weights.resolve(recipe.init)
    header, tensors = checkpoint.read(path)
    if header.method != recipe.method:
        raise click.UsageError(
            f"init={recipe.init}: a model of {header.method}, the recipe's method is {recipe.method}"
        )
    start_from(objective, tensors, path)
    return {"init": header.sha256}


def dry_run(recipe: Recipe, device: str) -> dict[str, Any]:
    """What a run would cost: steps, epochs, FLOPs, and hours on a named device."""
    with torch.device("meta"):
        objective = learner(recipe)
    settings = recipe.loop
    crops = settings.steps * settings.batch
    total = flops_per_crop(objective, backward=True) * crops
    clips = recipe.published.clips
    return {
        "parameters": sum(p.numel() for p in trainable(objective)),
        "encoder_parameters": sum(p.numel() for p in objective.encoder.parameters()),
        "steps": settings.steps,
        "crops": crops,
        "hours_of_audio_seen": round(crops * objective.crop / objective.encoder.sample_rate / 3600, 1),
        "epochs": round(crops / clips, 2) if clips else None,
        "flops": total,
        "device": device.upper(),
        "hours": float(f"{total / (PEAKS[device.upper()] * EFFICIENCY) / 3600:.3g}"),
        "assumed_share_of_peak": EFFICIENCY,
    }


def fabric_for(precision: str, strategy: str = "ddp") -> Fabric:
    """One process on the best device there is, or as many as torchrun started."""
    processes, world = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = "auto" if world == 1 else fsdp.strategy(world) if strategy == "fsdp" else strategy
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", 1))
    mixed = plugin(precision)
    options: dict[str, Any] = {"plugins": mixed} if mixed else {"precision": precision}
    return Fabric(accelerator="auto", devices=processes, num_nodes=nodes, strategy=chosen, **options)


def learn(recipe: Recipe, run: Path, **limits: Any) -> None:
    """Trains a recipe into a folder; ``limits`` are those of ``loop.train``."""
    fabric = fabric_for(recipe.precision, recipe.strategy)
    fabric.launch()
    objective = learner(recipe)
    initial = start(recipe, objective)
    with fabric.rank_zero_first(local=True):  # an index is made once
        source, corpus = readers.open_source(recipe.data, objective, fabric.device)
    facts = {"recipe": recipe.raw, "corpus": corpus.fingerprint, "hours": round(corpus.hours, 2), **initial}
    watch = None
    if isinstance(corpus, LabelledSet) and recipe.loop.watch_every:
        watch = MeanPrecision(objective, corpus.valid(), fabric)
    train(objective, source, recipe.loop, run, fabric, seed=recipe.seed, facts=facts, watch=watch, **limits)
    leave()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.argument("changes", nargs=-1)
@click.option("--dry-run", "device", metavar="DEVICE", help=f"Print costs on one of {', '.join(PEAKS)}, and stop.")
@click.option("--until", type=int, help="Stop after this step; the same command without it goes on.")
@click.option(
    "--minutes", type=click.FloatRange(min=0), help="Stop after so long, with a checkpoint; the same command goes on."
)
@click.option(
    "--branch",
    metavar="CHECKPOINT",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Begin RUN with this checkpoint of another run of the schedule wsd.",
)
def main(
    recipe: str,
    run: Path | None,
    changes: tuple[str, ...],
    device: str | None,
    until: int | None,
    minutes: float | None,
    branch: Path | None,
) -> None:
    """Trains RECIPE into the folder RUN, with CHANGES as section.key=value.

    RECIPE is a YAML file, or a name in training/recipes: msm-mae-open, asit-open, mast-open, audioformer-open and
    others for the open corpus, NAME-paper for the published settings. The same command goes on after a stop.

    \b
    Examples:
      python -m training.pretrain msm-mae-open runs/tiny data.corpus=data/open
      python -m training.pretrain msm-mae-open runs/own data.corpus=data/own 'data.shares={other: 1}' loop.steps=500
      python -m training.pretrain msm-mae-paper --dry-run h100
      torchrun --nproc-per-node 8 -m training.pretrain msm-mae-paper runs/base data.corpus=data/audioset

    \b
    Keys that are changed most:
      data.corpus=FOLDER     what corpora.corpus and corpora.pack made (mast-open: data.labelled=FOLDER)
      data.shares={...}      of the corpus's kinds: speech, music, sfx, ambience, other
      data.reader=stream     reads shards instead of keeping the corpus on the device
      loop.steps, loop.batch, loop.lr, loop.compile=false, precision=32-true, seed, init=MODEL
      encoder.size=tiny|small|base     5, 22, 86 million parameters for MSM-MAE and ASiT

    msm-mae-open takes about an hour of two CPU cores (5000 steps of 128 crops), mast-open an hour and a half of one.
    Before the first step of msm-mae-open the
    compiler takes two minutes of a core; loop.compile=false does without.

    \b
    A run of the schedule wsd gives a model at any of its checkpoints by a short run that cools down from there:
      python -m training.pretrain msm-mae-long runs/long data.corpus=data/open
      python -m training.pretrain msm-mae-long runs/6000 data.corpus=data/open --branch runs/long/step-00005000.ckpt \\
          loop.steps=6000 loop.cooldown=1000
    """
    if device:
        if device.upper() not in PEAKS:
            raise click.UsageError(f"unknown device {device!r}; known are {', '.join(PEAKS)}")
        all_changes = ([str(run)] if run else []) + list(changes)
        click.echo(json.dumps(dry_run(read_recipe(recipe, all_changes), device), indent=2))
        return
    if run is None:
        raise click.UsageError("name a folder for the run")
    try:
        learn(settled(read_recipe(recipe, changes)), run, until=until, minutes=minutes, branch=branch)
    except (PackError, StreamError, DivergedError, weights.WeightsError, ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
