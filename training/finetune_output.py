"""What a fine-tuning run leaves: a weight file, its head beside it, and scores of test clips with intervals.

Scores are of the files, read back and run as anyone would run them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.scoring import embeddings, records, scene
from evaluation.scoring.bootstrap import draw
from evaluation.scoring.embeddings import Model
from evaluation.scoring.labels import many_hot
from evaluation.scoring.scores import SCORES
from evaluation.tasks.tasks import Fold, Item, Task
from hear_audioformer import checkpoint, weights
from hear_audioformer.checkpoint import Header, WeightsError
from hear_audioformer.embedder import Embedder, Encoder

from . import methods
from .export import half
from .objectives import keep_fixed
from .objectives.classify import Classifier, Head
from .recipe import FinetuningRecipe

MODEL, HEAD = "model.safetensors", "head.safetensors"
SCRATCH = "scratch:"
METHOD = "classifier-head"  # what a head's file says it is
ALSO: dict[str, tuple[str, ...]] = {
    "accuracy": ("mean_recall",),
    "mean_recall": ("accuracy",),
    "mean_precision": ("area", "d_prime"),
}


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        source: as the recipe names it; ``scratch:NAME`` is the configuration of NAME with random weights, and so is
            ``scratch:METHOD-SIZE`` of a method's size where no model is called that.
        encoder: with its weights, learnt or drawn.
        header: of the weight file; ``dtypes`` are those of its tensors, ``sha256`` its hash.
    """

    source: str
    encoder: Encoder
    header: Header
    dtypes: dict[str, torch.dtype]
    sha256: str

    @classmethod
    def of(cls, source: str, seed: int, options: Mapping[str, Any] | None = None) -> "Start":
        """From a recipe's ``model`` and its ``options``."""
        name, options = source.removeprefix(SCRATCH), options or {}
        if source.startswith(SCRATCH) and (sized := methods.sized(name)):
            return cls._of_size(source, *sized, seed, options)
        path = weights.resolve(name)
        encoder, header = weights.load_encoder(path, **options)
        header = replace(header, config={**header.config, **options})
        tensors = checkpoint.read(path)[1]
        dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
        if source.startswith(SCRATCH):
            encoder = methods.fresh(header.method, {**header.config, **header.normalisation}, seed)
            keep_fixed(encoder, tensors)
        return cls(source, encoder, header, dtypes, checkpoint.sha256(path))

    @classmethod
    def _of_size(cls, source: str, method: str, size: dict[str, Any], seed: int, options: Mapping[str, Any]) -> "Start":
        """From random weights and no file at all."""
        encoder = methods.fresh(method, {**size, **options}, seed)
        if encoder.fixed:
            parts = ", ".join(part.rstrip(".") for part in encoder.fixed)
            raise ValueError(f"model={source}: {method} needs a trained {parts}; name a weight file, {SCRATCH}FILE")
        header = Header(method, *checkpoint.apart(asdict(encoder.config)))
        return cls(source, encoder, header, {}, "")

    @property
    def scratch(self) -> bool:
        return self.source.startswith(SCRATCH)

    @property
    def name(self) -> str:
        """A model's name, or its file's without suffix; says where weights were drawn."""
        stem = self.source.removeprefix(SCRATCH).rstrip("/").rsplit("/", 1)[-1].removesuffix(".safetensors")
        return f"scratch-{stem}" if self.scratch else stem


def write(folder: Path, objective: Classifier, start: Start, task: Task, about: dict[str, Any]) -> None:
    """Writes the encoder as a model like any other, and the head.

    Weights have the precision of the file that the run started from, so a frozen encoder is the same to the bit.
    """
    origin = None if start.scratch else {"sha256": start.sha256, "provenance": start.header.provenance}
    provenance = {**about, "started_from": {"model": start.source, **(origin or {})}}
    config = {**start.header.config, "pool": objective.pool}
    if list(objective.layers) != list(start.encoder.layers):
        config["layers"] = list(objective.layers)
    tensors = {
        name: half(tensor) if start.dtypes.get(name) == torch.float16 else tensor.to(start.dtypes.get(name))
        for name, tensor in objective.encoder.state_dict().items()
    }
    header = replace(start.header, config=config, provenance=provenance)
    digest = checkpoint.write(folder / MODEL, tensors, header)
    head_config = {"classes": list(task.vocabulary), "loss": objective.loss, "encoder_sha256": digest}
    head = Header(METHOD, head_config, provenance=provenance, licence=start.header.licence)
    checkpoint.write(folder / HEAD, objective.head.state_dict(), head)


def read_head(folder: Path) -> tuple[Head, Header]:
    """The head of the model in the same folder; its header's ``config`` names the classes."""
    header, tensors = checkpoint.read(folder / HEAD)
    if header.method != METHOD:
        raise WeightsError(f"{folder / HEAD} holds a {header.method} model, not a head")
    if checkpoint.sha256(folder / MODEL) != header.config["encoder_sha256"]:
        raise WeightsError(f"{folder / HEAD} was trained on another encoder than {folder / MODEL}")
    classes, width = tensors["linear.weight"].shape
    head = Head(width, classes)
    checkpoint.fill(head, tensors, folder / HEAD)
    return head.eval(), header


def load(folder: Path) -> tuple[Model, Head]:
    """The model and the head of a run's folder."""
    head, _ = read_head(folder)
    method = checkpoint.read_header(folder / MODEL).method
    return Model(f"hear_audioformer.{weights.METHODS[method]}", str(folder / MODEL)), head


def outcome(task: Task, rounds: Sequence[tuple[Fold, Path]]) -> scene.Outcome:
    """What the models of some rounds, one a folder, say of their test clips; their validation scores beside it."""
    truths, logits_of_rounds, common, folds, chosen = [], [], [], [], []
    items: list[Item] = []
    for number, (fold, folder) in enumerate(rounds):
        valid = [item for item in task.items if item.split == fold.valid]
        test = [item for item in task.items if item.split == fold.test]
        logits = predict(replace(task, items=(*valid, *test)), folder)
        targets = _targets(task, [*valid, *test])
        first = len(valid)
        chosen.append({"valid": rate(task, targets[:first], logits[:first])} if valid else {})
        truths.append(targets[first:])
        logits_of_rounds.append(logits[first:])
        learnt_targets = _targets(task, [item for item in task.items if item.split in (*fold.train, fold.valid)])
        common.append(np.broadcast_to(learnt_targets.mean(0), logits[first:].shape))
        folds += [number] * len(test)
        items += test
    truth = np.concatenate(truths)
    columns, majority = (scene.columns(task, truth, np.concatenate(parts)) for parts in (logits_of_rounds, common))
    groups = np.array([item.group for item in items])
    return scene.Outcome(np.array(folds), groups, columns, {"majority": majority}, chosen, {})


def predict(task: Task, folder: Path) -> np.ndarray:
    """Logits of all clips of a task, (clips, classes)."""
    model, head = load(folder)
    vectors = embeddings.scenes(task, model, folder / "embeddings")
    with torch.no_grad():
        return head(torch.from_numpy(vectors)).numpy()


def rate(task: Task, targets: np.ndarray, logits: np.ndarray) -> float:
    """The task's own score."""
    once = np.ones((1, len(targets)), np.float32)
    return float(SCORES[task.score](scene.columns(task, targets, logits), once)[0])


def entry(task: Task, result: scene.Outcome, seconds: dict[str, float]) -> dict[str, Any]:
    """A task's line of a file of results, with the other scores that fit it."""
    drawn = draw(task.name, result.folds, result.groups)
    also = {name: records.rated(name, result.columns, result.folds, drawn) for name in ALSO.get(task.score, ())}
    return {**records.entry(task, result, seconds), "also": also}


def facts(start: Start, recipe: FinetuningRecipe, folder: Path, suite: str, command: str) -> dict[str, Any]:
    """What was scored: the way to the model, which is another one for each task and fold, rather than its file."""
    model, _ = load(folder)
    return {
        **records.facts(model, suite, f"fine-tuned, {recipe.mode}", command),
        "source": start.source,
        "model": start.source if start.scratch else start.sha256,
        "model_sha256": None if start.scratch else start.sha256,
        "options": {"recipe": recipe.name, "mode": recipe.mode},
        "name": f"{start.name}-{recipe.mode}",
    }


def look(task: Task, items: Sequence[Item], objective: Classifier, clips: Sequence[Tensor]) -> float:
    """The task's score of an objective in training, on clips in memory."""
    embedder = Embedder(objective.encoder, pool=objective.pool, layers=objective.layers)
    device = next(objective.head.parameters()).device
    with torch.no_grad():
        logits = objective.head(embedder.scene([clip.to(device) for clip in clips]))
    objective.train()  # the embedder puts its encoder into evaluation mode
    return rate(task, _targets(task, items), logits.float().cpu().numpy())


def _targets(task: Task, items: Sequence[Item]) -> np.ndarray:
    return many_hot([item.labels for item in items], len(task.vocabulary)).numpy()
