"""Self-supervised pretraining from a recipe.

    python -m training.pretrain msm-mae-open runs/msm-mae-tiny data.corpus=data/open
    torchrun --nproc-per-node 8 -m training.pretrain msm-mae-paper runs/base data.corpus=data/audioset
    python -m training.pretrain msm-mae-paper --dry-run h100

A recipe is a YAML file, by path or by its name in ``training/recipes``; KEY=VALUE changes single entries. The same
command goes on from the run's last checkpoint.
"""

import copy
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import torch
import yaml
from lightning.fabric import Fabric
from torch import nn

from corpora.clips import RATE
from corpora.index import Index
from corpora.pack import Pack, PackError
from hear_audioformer import checkpoint, weights
from hear_audioformer.audioformer import Audioformer

from . import fsdp, methods, precision
from .data.augment import Augment
from .data.blends import Blends, Recipe
from .data.code_crops import CodeCrops, CodeMixture
from .data.codes import Codes
from .data.crops import Crops
from .data.mixture import Mixture
from .data.stream import Stream, StreamError, workers_for
from .data.tagged import TaggedSet
from .flops import PEAKS, flops_per_crop
from .loop import DivergedError, Settings, leave, train
from .objectives import start_from, trainable
from .validation import Watched

RECIPES = Path(__file__).parent / "recipes"
SECTIONS = {"name", "method", "seed", "init", "precision", "strategy"}
SECTIONS |= {"encoder", "objective", "data", "loop", "published"}
EFFICIENCY = 0.35  # share of a device's peak that the hours of a dry run assume


def read_recipe(
    source: str,
    changes: Sequence[str] = (),
    *,
    folder: Path = RECIPES,
    sections: Collection[str] = SECTIONS,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A recipe by path or name, over defaults, with ``section.key=value`` changes (values as in YAML)."""
    path = Path(source) if Path(source).is_file() else folder / f"{source}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise click.UsageError(f"no recipe {source!r}; there are {names}")
    recipe: dict[str, Any] = {**copy.deepcopy(dict(defaults or {})), **yaml.safe_load(path.read_text())}
    for change in changes:
        key, found, value = change.partition("=")
        *above, last = key.split(".")
        place: Any = recipe
        for section in above:
            place = place.get(section) if isinstance(place, dict) else None
        if not found or not isinstance(place, dict):
            raise click.UsageError(f"{change!r} is not of the form section.key=value")
        place[last] = yaml.safe_load(value)
    if unknown := sorted(set(recipe) - set(sections)):
        raise click.UsageError(
            f"{path} has unknown sections {', '.join(unknown)}; known are {', '.join(sorted(sections))}"
        )
    return recipe


def build(recipe: dict[str, Any]) -> nn.Module:
    """The objective of a recipe, around an encoder with the initial weights of its seed."""
    module = methods.module_of(recipe["method"])
    torch.manual_seed(recipe["seed"])
    options = dict(recipe["encoder"])
    size = options.pop("size", None)
    config = module.Config.of_size(size, **options) if size else module.Config(**options)
    encoder = module.build(vars(config))
    made: Any = methods.objective_of(recipe["method"]).build(encoder, recipe["objective"])
    if recipe["data"].get("reader") == "codes":
        if not isinstance(encoder, Audioformer):
            raise click.UsageError("data.reader=codes: only AudioFormer reads codes; choose resident or stream")
        made.precomputed = True
    return made


def learner(recipe: dict[str, Any]) -> Any:
    """The objective of a recipe that gradients can teach."""
    objective = build(recipe)
    if not trainable(objective):
        raise click.UsageError("nothing here learns by gradients: fit it with python -m training.fit_melrvq")
    return objective


def start(recipe: dict[str, Any], objective: nn.Module) -> dict[str, str]:
    """Gives the encoder the weights of the model that ``init`` names, by name, path or address; what they were."""
    if not recipe.get("init"):
        return {}
    path = weights.resolve(recipe["init"])
    header, tensors = checkpoint.read(path)
    if header.method != recipe["method"]:
        raise click.UsageError(
            f"init={recipe['init']}: a model of {header.method}, the recipe's method is {recipe['method']}"
        )
    start_from(objective, tensors, path)
    return {"init": header.sha256}


def source_of(
    recipe: dict[str, Any], objective: Any, device: torch.device
) -> tuple[Mixture | CodeMixture | Blends, Pack | Index | Codes | TaggedSet]:
    """Batches of the recipe's corpus, which is kept on the device or read ahead from disk, and what is known of it.

    A recipe with labels names a labelled set instead; AudioFormer may read a corpus of codes.
    """
    data, rate = recipe["data"], objective.encoder.sample_rate
    if data.get("corpus") and data.get("reader") == "codes":
        return codes_of(data, objective, device)
    if rate != RATE:
        raise click.UsageError(
            f"corpora are kept at {RATE} Hz, the encoder wants {rate}: set encoder.sample_rate={RATE}, or for a codec "
            "of that rate data.reader=codes"
        )
    if "labelled" in data:
        return labelled_source(data, objective, device)
    if not data.get("corpus"):
        raise click.UsageError("name a corpus: data.corpus=FOLDER, as corpora.corpus and corpora.pack made it")
    folder, kind = Path(data["corpus"]), data.get("reader", "resident")
    augment = Augment(**data.get("augment") or {})
    options: dict[str, Any] = {"cap": data.get("cap", 0.08), "once": augment.once, "device": device}
    corpus: Pack | Index
    reader: Crops | Stream
    if kind == "resident":
        corpus = Pack.open(folder)
        reader = Crops(corpus, objective.crop, data["shares"], **options)
    elif kind == "stream":
        corpus = Index.open(folder)
        workers = workers_for(int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        reader = Stream(corpus, objective.crop, data["shares"], **options, workers=workers)
    else:
        raise click.UsageError(f"data.reader={kind}: choose resident, stream or codes")
    synthetic = data.get("synthetic", 0.0)
    return Mixture(reader, objective.crop, rate, synthetic=synthetic, augment=augment), corpus


def labelled_source(data: dict[str, Any], objective: Any, device: torch.device) -> tuple[Blends, TaggedSet]:
    """Mixtures of a labelled set, which must have as many classes as the recipe says."""
    if not data["labelled"]:
        raise click.UsageError("name a labelled set: data.labelled=FOLDER, as training.data.tagging made it")
    table = TaggedSet.open(Path(data["labelled"]))
    if len(table.classes) != objective.classes:
        raise click.UsageError(f"{table.folder} has {len(table.classes)} classes: set objective.classes to that")
    return Blends(table, "train", objective.crop, Recipe(**data.get("mixtures") or {}), device), table


def codes_of(data: dict[str, Any], objective: Any, device: torch.device) -> tuple[CodeMixture, Codes]:
    """Windows of the codes that ``training.data.codes`` has made with the encoder's codec."""
    encoder = objective.encoder
    if not encoder.config.codec_hash:
        raise click.UsageError("name the codec that made the codes: objective.codec=NAME")
    if data.get("augment"):
        raise click.UsageError("recordings can only be augmented before they are codes: set data.augment=null")
    corpus = Codes.open(Path(data["corpus"]), encoder.config.codec_id)
    if not corpus.speaks(encoder.codec):
        raise click.UsageError(f"{data['corpus']}: its codes of {corpus.codec} are of a codec that was trained anew")
    frames, count = encoder.config.window, encoder.config.codebooks
    reader = CodeCrops(corpus, frames, count, data["shares"], cap=data.get("cap", 0.08), device=device)
    synthetic = data.get("synthetic", 0.0)
    return CodeMixture(reader, objective.coded, objective.crop, encoder.sample_rate, synthetic), corpus


def dry_run(recipe: dict[str, Any], device: str) -> dict[str, Any]:
    """What a run would cost: steps, epochs, FLOPs, and hours on a named device."""
    with torch.device("meta"):
        objective = learner(recipe)
    settings = Settings(**recipe["loop"])
    crops = settings.steps * settings.batch
    total = flops_per_crop(objective, backward=True) * crops
    clips = (recipe.get("published") or {}).get("clips")
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


def fabric_for(recipe: dict[str, Any]) -> Fabric:
    """One process on the best device there is, or as many as torchrun started."""
    processes, world = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), int(os.environ.get("WORLD_SIZE", 1))
    strategy = recipe.get("strategy", "ddp") if world > 1 else "auto"
    if strategy == "fsdp":
        strategy = fsdp.strategy(world)
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", 1))
    mixed = precision.plugin(recipe["precision"])
    kind: dict[str, Any] = {"plugins": mixed} if mixed else {"precision": recipe["precision"]}
    return Fabric(accelerator="auto", devices=processes, num_nodes=nodes, strategy=strategy, **kind)


@click.command()
@click.argument("recipe")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.argument("changes", nargs=-1)
@click.option("--dry-run", "device", metavar="DEVICE", help=f"Print costs on one of {', '.join(PEAKS)}, and stop.")
@click.option("--until", type=int, help="Stop after this step; the same command without it goes on.")
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
    branch: Path | None,
) -> None:
    """Trains RECIPE into the folder RUN, with CHANGES as section.key=value.

    \b
    A run of the schedule wsd gives a model at any of its checkpoints by a short run that cools down from there:
      python -m training.pretrain msm-mae-long runs/long data.corpus=data/open
      python -m training.pretrain msm-mae-long runs/6000 data.corpus=data/open --branch runs/long/step-00005000.ckpt \\
          loop.steps=6000 loop.cooldown=1000
    """
    if device:
        if device.upper() not in PEAKS:
            raise click.UsageError(f"unknown device {device!r}; known are {', '.join(PEAKS)}")
        given = ([str(run)] if run else []) + list(changes)
        click.echo(json.dumps(dry_run(read_recipe(recipe, given), device), indent=2))
        return
    if run is None:
        raise click.UsageError("name a folder for the run")
    chosen = read_recipe(recipe, changes)
    try:
        fabric = fabric_for(chosen)
        fabric.launch()
        objective = learner(chosen)
        begun = start(chosen, objective)
        with fabric.rank_zero_first(local=True):  # an index is made once
            source, corpus = source_of(chosen, objective, fabric.device)
        facts = {"recipe": chosen, "corpus": corpus.fingerprint, "hours": round(corpus.hours, 2), **begun}
        settings = Settings(**chosen["loop"])
        watch = None
        if isinstance(corpus, TaggedSet) and settings.watch_every:
            watch = Watched(objective, corpus.valid(), fabric)
        train(
            objective, source, settings, run, fabric,
            seed=chosen["seed"], facts=facts, until=until, watch=watch, branch=branch,
        )  # fmt: skip
        leave()
    except (PackError, StreamError, DivergedError, weights.WeightsError, ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
