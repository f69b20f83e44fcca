"""A training checkpoint -> a weight file that the package loads.

    python -m training.export runs/msm-mae-tiny msm-mae-tiny --licence Apache-2.0

Takes the moving average of the weights where the run kept one, drops what only training needed, writes half-precision
safetensors with their provenance, and enters the file into ``weights/index.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hear_audioformer import checkpoint
from hear_audioformer.assignments import AssignmentError, assignments
from hear_audioformer.checkpoint import Header
from hear_audioformer.encoder import Network
from hear_audioformer.facts import facts
from hear_audioformer.files import write_text
from hear_audioformer.index import METHODS, PARTS

from . import checkpoints, logs, methods
from .objectives import exported, trainable
from .pretrain import build
from .recipe import Recipe

WEIGHTS = Path(__file__).parents[1] / "weights"


def learnt(run: Path) -> tuple[Any, dict[str, Any]]:
    """The objective of a run with the weights to use, averaged where there is an average, and its newest checkpoint."""
    newest = checkpoints.latest(run)
    if newest is None:
        raise click.UsageError(f"{run} holds no checkpoint")
    saved = torch.load(newest, map_location="cpu", weights_only=True)
    objective: Any = build(Recipe.parse(saved["facts"]["recipe"], newest))
    restore(objective, saved)
    return objective.eval(), saved


def export(
    run: Path,
    name: str,
    out: Path,
    *,
    licence: str,
    hardware: str,
    pool: str | None = None,
    options: Mapping[str, Any] | None = None,
    default: bool = False,
) -> dict[str, Any]:
    """Writes ``out/name.safetensors`` from a run's newest checkpoint and returns its entry of the index.

    The run's log goes beside it, so that whoever has the weights can draw their loss curve. ``pool`` and ``options``
    change how the model is used, entries of its configuration that its weights do not depend on.
    """
    objective, saved = learnt(run)
    recipe = Recipe.parse(saved["facts"]["recipe"], run)
    encoder = exported(objective)
    config, tensors = asdict(encoder.config), _tensors(encoder)
    if pool and pool not in encoder.pools:
        choices = ", ".join(encoder.pools) or "nothing"
        raise click.UsageError(f"{recipe.method} does not pool by {pool}; choose from {choices}")
    config |= {"pool": pool} if pool else {}
    config |= _usable(recipe.method, encoder, {**config, **(options or {})})
    config, normalisation = checkpoint.apart(config)
    heard = saved["step"] * recipe.loop.batch * objective.crop / encoder.sample_rate / 3600
    provenance = {**_provenance(run, saved, recipe, hardware), "hours_heard": round(heard, 1)}
    header = Header(recipe.method, config, normalisation, provenance, licence)
    path = out / f"{name}.safetensors"
    digest = checkpoint.write(path, tensors, header)
    entry = {
        "method": recipe.method,
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": digest,
        "about": facts(path) if recipe.method in METHODS | PARTS else {},  # none of AST
    }
    (out / f"{name}.jsonl").write_text(logs.dump(logs.read(run / "log.jsonl")))
    enter(out / "index.json", name, entry, default)
    return entry


def _usable(method: str, encoder: nn.Module, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration, once a network of it has taken the weights."""
    try:
        methods.module_of(method).build(config).load_state_dict(encoder.state_dict())
    except (TypeError, ValueError, RuntimeError) as error:
        raise click.UsageError(f"the weights cannot be used with these options: {error}") from error
    return config


def _provenance(run: Path, saved: dict[str, Any], recipe: Recipe, hardware: str) -> dict[str, Any]:
    """Where a model comes from."""
    lines = logs.read(run / "log.jsonl")
    looks = [found for line in lines if (found := {key: line[key] for key in line if key.startswith("valid")})]
    return {
        "recipe": recipe.raw,
        "corpus_sha256": saved["facts"].get("corpus"),
        "corpus_hours": saved["facts"].get("hours"),
        "steps": saved["step"],
        "crops": saved["step"] * recipe.loop.batch,
        "training_hours": round(_hours(lines, recipe.loop.batch), 2),
        "last_loss": lines[-1]["loss"] if lines else None,
        "valid": looks[-1] if looks else None,
        "averaged": bool(saved["average"]),
        "hardware": hardware,
    }


def _hours(lines: list[dict[str, float]], batch: int) -> float:
    """Wall time at the steps of a log, without starts and checkpoints."""
    steps = [0.0, *(line["step"] for line in lines)]
    pairs = zip(steps, lines, strict=False)
    return sum((line["step"] - before) * batch / line["crops_per_second"] for before, line in pairs) / 3600


def restore(objective: nn.Module, saved: dict[str, Any]) -> None:
    """Gives an objective the weights of a checkpoint: their average, where the run kept one."""
    objective.load_state_dict({name.removeprefix("_orig_mod."): tensor for name, tensor in saved["model"].items()})
    if saved["average"]:
        with torch.no_grad():
            for parameter, average in zip(trainable(objective), saved["average"], strict=True):
                parameter.copy_(average)


def _tensors(encoder: Network) -> dict[str, Tensor]:
    """What a weight file holds of an encoder: plain weights in half precision, but for what must stay exact.

    Weight normalisation, where the objective trains with it, is worked in.
    """
    for module in list(encoder.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    state = encoder.state_dict()
    return {key: tensor if key.startswith(encoder.exact) else half(tensor) for key, tensor in state.items()}


def half(tensor: Tensor) -> Tensor:
    """A weight as it is shipped."""
    halved = tensor.half()
    if not torch.isfinite(halved).all():
        raise click.ClickException("a weight does not fit into half precision; the run has diverged")
    return halved


def require_free(index: Path, name: str, overwrite: bool) -> None:
    """Refuses to replace a model of an index unless told so."""
    if not overwrite and index.exists() and name in json.loads(index.read_text())["models"]:
        raise click.UsageError(f"{index} has a model {name}: choose another name, another --out, or pass --overwrite")


def enter(index: Path, name: str, entry: Mapping[str, Any], default: bool = False) -> None:
    """Adds or replaces a model in the index, atomically; the first model of all becomes the default."""
    models = json.loads(index.read_text()) if index.exists() else {"default": None, "models": {}}
    models["models"][name] = {**models["models"].get(name, {}), **entry}
    if default or (models["default"] is None and entry["method"] in METHODS):
        models["default"] = name
    write_text(index, json.dumps(models, indent=2) + "\n")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=WEIGHTS,
    help="Folder with index.json.  [default: weights/ of this clone, whose models are known by name]",
)
@click.option("--overwrite", is_flag=True, help="Replace a model of this name.")
@click.option("--licence", required=True, help="Under which the weights may be used, e.g. Apache-2.0.")
@click.option("--hardware", required=True, help="What the run ran on, for its provenance.")
@click.option("--pool", help="Frames -> scene, as the method offers it.  [default: the recipe's]")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Other entries of its configuration.")
@click.option("--default", is_flag=True, help="Make it the model that load_model() takes without a name.")
def main(
    run: Path,
    name: str,
    out: Path,
    overwrite: bool,
    licence: str,
    hardware: str,
    pool: str | None,
    options: tuple[str, ...],
    default: bool,
) -> None:
    """Exports the newest checkpoint of RUN as the model NAME: NAME.safetensors, NAME.jsonl, an entry of index.json.

    \b
    Examples:
      python -m training.export runs/tiny my-tiny --pool mean+std --licence Apache-2.0 --hardware "2 CPU cores"
      python -m training.export runs/tiny my-tiny --out exported --licence Apache-2.0 --hardware "2 CPU cores"

    Without --out it writes into the clone's weights/, so that load_model knows NAME. It takes seconds.
    """
    require_free(out / "index.json", name, overwrite)
    try:
        changes = dict(assignments(options, yaml.safe_load))
    except AssignmentError as error:
        raise click.BadParameter(str(error), param_hint="--option") from error
    about: dict[str, Any] = {"licence": licence, "hardware": hardware, "pool": pool, "options": changes}
    entry = export(run, name, out, **about, default=default)
    click.echo(json.dumps({name: entry}, indent=2))


if __name__ == "__main__":
    main()
