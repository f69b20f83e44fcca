"""Supervised training on top of any encoder, from a recipe.

    python -m training.finetune esc50 runs/esc50 model=msm-mae-tiny data=ESC-50-master mode=full
    python -m training.finetune hear runs/drum model=scratch:msm-mae-tiny data=data/suite/tasks/drum-open1-full
    python -m training.finetune audioset-20k runs/as20k model=base.safetensors data=clips.csv

A recipe is a YAML file, by path or by its name in ``training/recipes/finetune``; KEY=VALUE changes single entries. The
same command goes on from the run's last checkpoint. RUN gets the weights, their head and ``result.json``; with k folds,
a folder a fold.
"""

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from lightning.fabric import Fabric

from evaluation.scoring import records
from evaluation.tasks.tasks import Fold, Item, Task, TaskError
from hear_audioformer import WeightsError, audio
from hear_audioformer.audio import AudioError
from hear_audioformer.audioformer import Audioformer

from . import checkpoints, export
from . import finetune_files as finetuned
from .data.labelled import Clips, Labelled
from .data.manifests import fingerprint, open_task, require_files
from .data.mixup import Mixup
from .data.specaugment import SpecAugment
from .finetune_files import Start
from .loop import DivergedError, Settings, leave, train
from .objectives.classify import Classifier
from .objectives.ft2 import Contrast, ContrastClassifier
from .pretrain import RECIPES, fabric_for, read_recipe

FINETUNE = RECIPES / "finetune"
DEFAULTS: dict[str, Any] = {
    "name": None,
    "model": None,  # a name, a weight file, an hf:// address; scratch:NAME (or METHOD-SIZE) for random weights
    "data": None,  # a data set's folder, or a table; see training.data.manifests
    "layout": "",  # how the folder of a well-known data set is read
    "fold": "all",  # or one, counted from 0
    "learn_valid": False,  # whether validation clips are learnt from as well
    "mode": "layer-decay",  # or full, or frozen
    "decay": 0.75,
    "head_lr": 1.0,
    "loss": None,  # ce or bce; by default what the labels are
    "pool": None,  # by default the model's own
    "layers": None,  # likewise
    "drop_path": 0.0,  # share of the clips that skip a branch of the last block
    "smoothing": 0.0,  # of the labels, where the loss is ce
    "options": {},  # of the model, such as how many codebooks an AudioFormer reads
    "contrast": None,  # AudioFormer's second way of fine-tuning; see training.objectives.ft2
    "seed": 0,
    "precision": "bf16-mixed",
    "clips": {},
    "mixup": {},
    "specaugment": {},
    "loop": {},
    "results": None,  # a folder of results to enter the scores into, for evaluation.reports.results
}
CLIPS: dict[str, Any] = {
    "seconds": 10.0,  # the most that training hears of a clip at once
    "reader": "resident",  # or stream
    "workers": 4,  # processes that a stream reads by; 0 reads between the steps
    "balanced": False,  # whether rare classes are heard as often as common ones
}
ELSEWHERE = ("data", "results", "fold")  # entries that may change without making it another run


@dataclass(frozen=True)
class Round:
    """One training run: which splits are learnt, watched and tested, and where it is kept."""

    fold: Fold
    folder: Path
    learn: tuple[Item, ...]
    watch: tuple[Item, ...]


def read(source: str, changes: tuple[str, ...]) -> dict[str, Any]:
    """A recipe with changes, complete enough to start."""
    recipe = read_recipe(source, changes, folder=FINETUNE, sections=DEFAULTS, defaults=DEFAULTS)
    recipe["clips"] = {**CLIPS, **(recipe["clips"] or {})}
    if unknown := sorted(set(recipe["clips"]) - set(CLIPS)):
        raise click.UsageError(f"unknown clips.{unknown[0]}; known are {', '.join(CLIPS)}")
    recipe["name"] = recipe["name"] or Path(source).stem
    for key, what in (
        ("model", "a name, a weight file, or scratch:NAME"),
        ("data", "a data set's folder, or a table"),
    ):
        if not isinstance(recipe.get(key), str):
            raise click.UsageError(f"say {key}=...: {what}")
    return recipe


def rounds_of(task: Task, recipe: dict[str, Any], run: Path) -> list[Round]:
    """The folds that a recipe asks for, or the one round of a task without folds."""
    many = len(task.folds) > 1
    wanted = range(len(task.folds)) if recipe["fold"] == "all" else [recipe["fold"]]
    if any(number not in range(len(task.folds)) for number in wanted):
        raise TaskError(f"fold={recipe['fold']}: {task.name} has {len(task.folds)}; choose all, or one counted from 0")
    rounds = []
    for number in wanted:
        fold = task.folds[number]
        valid = tuple(item for item in task.items if item.split == fold.valid)
        learn = tuple(item for item in task.items if item.split in fold.train)
        learn, valid = (learn + valid, ()) if recipe["learn_valid"] else (learn, valid)
        rounds.append(Round(fold, run / f"fold{number:02}" if many else run, learn, valid))
    return rounds


def start_of(recipe: dict[str, Any]) -> Start:
    """What a recipe starts from."""
    return Start.of(recipe["model"], recipe["seed"], recipe["options"])


def build(recipe: dict[str, Any], start: Start, task: Task) -> Classifier:
    """The objective of a recipe, around the encoder that it starts from."""
    loss: Any = recipe["loss"] or ("bce" if task.multilabel else "ce")
    if loss == "ce" and task.multilabel:
        raise ValueError(f"{task.name} has clips with any number of labels: loss=bce")
    seconds = min(float(recipe["clips"]["seconds"]), float(task.metadata.get("sample_duration") or "inf"))
    crop = round(seconds * start.encoder.sample_rate)
    mask = SpecAugment(**recipe["specaugment"] or {})
    options = {key: recipe[key] for key in ("mode", "decay", "head_lr", "pool", "layers", "drop_path", "smoothing")}
    encoder, classes = start.encoder, len(task.vocabulary)
    if recipe["contrast"] is None:
        return Classifier(encoder, classes, crop, loss=loss, mask=mask, **options)
    if not isinstance(encoder, Audioformer):
        raise ValueError("contrast is AudioFormer's: set contrast=null")
    contrast = Contrast(**recipe["contrast"])
    return ContrastClassifier(encoder, classes, crop, loss=loss, mask=mask, contrast=contrast, **options)


def source_of(recipe: dict[str, Any], objective: Classifier, task: Task, turn: Round, device: Any) -> Labelled:
    """Batches of the clips that a round learns from."""
    told, rate = recipe["clips"], objective.encoder.sample_rate
    if told["reader"] not in ("resident", "stream"):
        raise ValueError(f"clips.reader={told['reader']}: choose resident or stream")
    resident = told["reader"] == "resident"
    clips = Clips([task.audio(item, rate) for item in turn.learn], rate, objective.crop, keep=resident)
    return Labelled(
        clips,
        [item.labels for item in turn.learn],
        len(task.vocabulary),
        balanced=told["balanced"],
        mixup=Mixup(**recipe["mixup"] or {}),
        workers=0 if resident else told["workers"],
        device=device,
    )


def settings_of(loop: dict[str, Any], clips: int) -> Settings:
    """A recipe's ``loop``, whose lengths are in epochs: as many draws as there are clips."""
    told = dict(loop)
    if missing := [key for key in ("epochs", "batch", "lr") if told.get(key) is None]:
        raise ValueError(f"the recipe's loop lacks {', '.join(missing)}: say loop.{missing[0]}=...")
    per_epoch = clips / told["batch"]
    steps = max(1, round(told.pop("epochs") * per_epoch))
    warmup, averaged = (round(told.pop(f"{key}_epochs", 0) * per_epoch) for key in ("warmup", "swa"))
    watched = told.pop("watch_epochs", None)
    watch_every = max(1, round(watched * per_epoch)) if watched else None
    swa = max(0, steps - averaged) if averaged else None
    return Settings(steps=steps, warmup=min(warmup, steps), swa=swa, watch_every=watch_every, **told)


def learn(recipe: dict[str, Any], task: Task, turn: Round, fabric: Fabric, until: int | None) -> bool:
    """Trains one round from where it stands, and writes its weights; whether it reached its end."""
    start = start_of(recipe)
    rate = start.encoder.sample_rate
    require_files(task, rate)
    objective = build(recipe, start, task)
    settings = settings_of(recipe["loop"], len(turn.learn))
    same = {key: value for key, value in recipe.items() if key not in ELSEWHERE}
    facts = {"recipe": same, "task": task.name, "test": turn.fold.test}
    facts |= {"corpus": fingerprint(task), "started_from": start.sha256}
    source = source_of(recipe, objective, task, turn, fabric.device)
    fabric.print(f"{turn.folder}: {len(turn.learn)} clips to learn from, {settings.steps} steps")
    watched = turn.watch if settings.watch_every else ()
    heard = [audio.read(task.audio(item, rate), rate) for item in watched]

    def watch() -> dict[str, float]:
        return {"valid": finetuned.look(task, watched, objective, heard)}

    train(
        objective,
        source,
        settings,
        turn.folder,
        fabric,
        seed=recipe["seed"],
        facts=facts,
        until=until,
        watch=watch if heard else None,
    )
    if until is not None and until < settings.steps:
        return False
    if fabric.is_global_zero:
        newest = checkpoints.latest(turn.folder)
        assert newest is not None
        saved = torch.load(newest, map_location="cpu", weights_only=True)
        export.restore(objective, saved)
        about = {**facts, "clips": len(turn.learn), "steps": saved["step"], "averaged": bool(saved["average"])}
        finetuned.write(turn.folder, objective, start, task, about)
    fabric.barrier()
    return True


def finish(recipe: dict[str, Any], task: Task, rounds: list[Round], run: Path, command: str) -> None:
    """Scores what the rounds left, writes ``result.json``, and says what came out."""
    began = time.perf_counter()
    found = finetuned.outcome(task, [(turn.fold, turn.folder) for turn in rounds])
    line = finetuned.entry(task, found, {"score": time.perf_counter() - began})
    start = start_of(recipe)
    folder = task.folder.parent if task.folder.parent.name == "tasks" else task.folder
    suite = folder.parent.name if folder.name == "tasks" else folder.name
    told = finetuned.facts(start, recipe, rounds[0].folder, suite, command)
    whole = len(rounds) == len(task.folds)
    file = run / ("result.json" if whole else f"result-{rounds[0].folder.name}.json")
    file.unlink(missing_ok=True)
    records.add(file, told, task.name, line)
    if recipe["results"] and whole:
        place = Path(recipe["results"]) / told["module"] / told["name"] / f"{suite}.json"
        records.add(place, told, task.name, line)
    for name, score in {line["score"]: line, **line["also"]}.items():
        click.echo(f"{task.name:28} {name:15} {score['value']:7.4f}  {score['low']:7.4f} to {score['high']:7.4f}")
    click.echo(f"chance {line['chance']:.4f}; {line['test_clips']} clips, {line['drawn']} drawn\n-> {file}")


@click.command()
@click.argument("recipe")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("changes", nargs=-1)
@click.option("--until", type=int, help="Stop after this step; the same command without it goes on.")
def main(recipe: str, run: Path, changes: tuple[str, ...], until: int | None) -> None:
    """Trains RECIPE into the folder RUN, with CHANGES as section.key=value, and scores what came out."""
    chosen = read(recipe, changes)
    command = shlex.join(["python", "-m", "training.finetune", *sys.argv[1:]])
    try:
        task = open_task(Path(chosen["data"]), chosen["layout"], chosen["name"])
        rounds = rounds_of(task, chosen, run)
        fabric = fabric_for({**chosen, "strategy": "ddp_find_unused_parameters_true"})  # of layers that are not run
        fabric.launch()
        ended = [learn(chosen, task, turn, fabric, until) for turn in rounds]
        if fabric.is_global_zero and all(ended):
            finish(chosen, task, rounds, run, command)
        leave()
    except (TaskError, AudioError, WeightsError, DivergedError, ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
