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

from . import checkpoints, export, finetune_output
from .data.labelled_clips import Clips, Labelled
from .data.manifests import fingerprint, open_task, require_files
from .finetune_output import Start
from .loop import DivergedError, leave, train
from .objectives.classify import Classifier
from .objectives.ft2 import ContrastClassifier
from .precision import settled
from .pretrain import fabric_for
from .recipe import FinetuningRecipe, read_finetuning

ELSEWHERE = ("data", "results", "fold")  # entries that may change without making it another run


@dataclass(frozen=True)
class Round:
    """One training run: which splits are learnt, watched and tested, and where it is kept."""

    fold: Fold
    folder: Path
    learn: tuple[Item, ...]
    watch: tuple[Item, ...]


def rounds_of(task: Task, recipe: FinetuningRecipe, run: Path) -> list[Round]:
    """The folds that a recipe asks for, or the one round of a task without folds."""
    many = len(task.folds) > 1
    numbers = range(len(task.folds)) if recipe.fold == "all" else [recipe.fold]
    if any(number not in range(len(task.folds)) for number in numbers):
        raise TaskError(f"fold={recipe.fold}: {task.name} has {len(task.folds)}; choose all, or one counted from 0")
    rounds = []
    for number in numbers:
        fold = task.folds[number]
        valid = tuple(item for item in task.items if item.split == fold.valid)
        learn = tuple(item for item in task.items if item.split in fold.train)
        learn, valid = (learn + valid, ()) if recipe.learn_valid else (learn, valid)
        rounds.append(Round(fold, run / f"fold{number:02}" if many else run, learn, valid))
    return rounds


def start_of(recipe: FinetuningRecipe) -> Start:
    """What a recipe starts from."""
    return Start.of(recipe.model, recipe.seed, recipe.options)


def build(recipe: FinetuningRecipe, start: Start, task: Task) -> Classifier:
    """The objective of a recipe, around the encoder that it starts from."""
    loss: Any = recipe.loss or ("bce" if task.multilabel else "ce")
    if loss == "ce" and task.multilabel:
        raise ValueError(f"{task.name} has clips with any number of labels: loss=bce")
    seconds = min(recipe.clips.seconds, float(task.metadata.get("sample_duration") or "inf"))
    crop = round(seconds * start.encoder.sample_rate)
    encoder, classes = start.encoder, len(task.vocabulary)
    options = {
        "loss": loss,
        "mode": recipe.mode,
        "decay": recipe.decay,
        "head_lr": recipe.head_lr,
        "pool": recipe.pool,
        "layers": recipe.layers,
        "drop_path": recipe.drop_path,
        "smoothing": recipe.smoothing,
        "mask": recipe.specaugment,
    }
    if recipe.contrast is None:
        return Classifier(encoder, classes, crop, **options)
    return ContrastClassifier(encoder, classes, crop, contrast=recipe.contrast, **options)


def source_of(recipe: FinetuningRecipe, objective: Classifier, task: Task, turn: Round, device: Any) -> Labelled:
    """Batches of the clips that a round learns from."""
    rate, resident = objective.encoder.sample_rate, recipe.clips.reader == "resident"
    clips = Clips([task.audio(item, rate) for item in turn.learn], rate, objective.crop, keep=resident)
    return Labelled(
        clips,
        [item.labels for item in turn.learn],
        len(task.vocabulary),
        balanced=recipe.clips.balanced,
        mixup=recipe.mixup,
        workers=0 if resident else recipe.clips.workers,
        device=device,
    )


def learn(recipe: FinetuningRecipe, task: Task, turn: Round, fabric: Fabric, until: int | None) -> bool:
    """Trains one round from where it stands, and writes its weights; whether it reached its end."""
    start = start_of(recipe)
    rate = start.encoder.sample_rate
    require_files(task, rate)
    objective = build(recipe, start, task)
    settings = recipe.loop.in_steps(len(turn.learn))
    same = {key: value for key, value in recipe.raw.items() if key not in ELSEWHERE}
    facts = {"recipe": same, "task": task.name, "test": turn.fold.test}
    facts |= {"corpus": fingerprint(task), "started_from": start.sha256}
    source = source_of(recipe, objective, task, turn, fabric.device)
    fabric.print(f"{turn.folder}: {len(turn.learn)} clips to learn from, {settings.steps} steps")
    watched = turn.watch if settings.watch_every else ()
    heard = [audio.read(task.audio(item, rate), rate) for item in watched]

    def watch() -> dict[str, float]:
        return {"valid": finetune_output.look(task, watched, objective, heard)}

    train(
        objective,
        source,
        settings,
        turn.folder,
        fabric,
        seed=recipe.seed,
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
        finetune_output.write(turn.folder, objective, start, task, about)
    fabric.barrier()
    return True


def finish(recipe: FinetuningRecipe, task: Task, rounds: list[Round], run: Path, command: str) -> None:
    """Scores what the rounds left, writes ``result.json``, and says what came out."""
    began = time.perf_counter()
    outcome = finetune_output.outcome(task, [(turn.fold, turn.folder) for turn in rounds])
    line = finetune_output.entry(task, outcome, {"score": time.perf_counter() - began})
    start = start_of(recipe)
    folder = task.folder.parent if task.folder.parent.name == "tasks" else task.folder
    suite = folder.parent.name if folder.name == "tasks" else folder.name
    about = finetune_output.facts(start, recipe, rounds[0].folder, suite, command)
    whole = len(rounds) == len(task.folds)
    file = run / ("result.json" if whole else f"result-{rounds[0].folder.name}.json")
    file.unlink(missing_ok=True)
    records.add(file, about, task.name, line)
    if recipe.results and whole:
        published = Path(recipe.results) / about["module"] / about["name"] / f"{suite}.json"
        records.add(published, about, task.name, line)
    for name, score in {line["score"]: line, **line["also"]}.items():
        click.echo(f"{task.name:28} {name:15} {score['value']:7.4f}  {score['low']:7.4f} to {score['high']:7.4f}")
    click.echo(f"chance {line['chance']:.4f}; {line['test_clips']} clips, {line['drawn']} drawn\n-> {file}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("changes", nargs=-1)
@click.option("--until", type=int, help="Stop after this step; the same command without it goes on.")
def main(recipe: str, run: Path, changes: tuple[str, ...], until: int | None) -> None:
    """Trains RECIPE into the folder RUN, with CHANGES as section.key=value, and scores what came out.

    RECIPE is a YAML file, or a name in training/recipes/finetune: hear (any table, or a task in HEAR's format), esc50,
    speech-commands, voxceleb-sid, audioset-20k, audioset-2m, mast-paper, audioformer-ft1, audioformer-ft2. RUN gets
    model.safetensors, head.safetensors and result.json. The same command goes on after a stop.

    \b
    Examples:
      python -m training.finetune hear runs/own model=msm-mae-tiny data=clips.csv     # columns path, label, split
      python -m training.finetune esc50 runs/esc50 model=msm-mae-tiny data=ESC-50-master fold=0
      python -m training.finetune hear runs/scratch model=scratch:msm-mae-tiny data=clips.csv loop.epochs=5

    \b
    Keys that are changed most:
      model=NAME|FILE|scratch:NAME     required: what it starts from
      data=TABLE.csv|FOLDER            required: labelled recordings
      mode=layer-decay|full|frozen     earlier layers at lower rates (default), all alike, the head alone
      loop.epochs, loop.batch, loop.lr, clips.seconds, pool, layers, seed
      precision=32-true                instead of auto, which is bf16 where this machine multiplies faster in it

    Of the runs in docs/finetuning.md each took two to eight minutes of one core.
    """
    chosen = settled(read_finetuning(recipe, changes))
    command = shlex.join(["python", "-m", "training.finetune", *sys.argv[1:]])
    try:
        task = open_task(Path(chosen.data), chosen.layout, str(chosen.name))
        rounds = rounds_of(task, chosen, run)
        fabric = fabric_for(chosen.precision, "ddp_find_unused_parameters_true")  # of layers that are not run
        fabric.launch()
        ended = [learn(chosen, task, turn, fabric, until) for turn in rounds]
        if fabric.is_global_zero and all(ended):
            finish(chosen, task, rounds, run, command)
        leave()
    except (TaskError, AudioError, WeightsError, DivergedError, ValueError, TypeError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
