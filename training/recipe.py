"""Recipes: YAML files that say all of a training run, parsed once into typed sections.

A recipe is named by its path, or by its name in ``training/recipes``. KEY=VALUE changes single entries, such as
``loop.steps=100``; values are read as YAML. What a checkpoint keeps is the recipe as it was written.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from hear_audioformer.assignments import AssignmentError, assignments
from hear_audioformer.errors import WeightsError

from . import methods
from .data.augment import Augment
from .data.labelled_mixtures import MixtureConfig
from .data.mixup import Mixup
from .data.specaugment import SpecAugment
from .objectives.ft2 import Contrast
from .sections import RecipeError, Where, arguments, keys_of, mapping, plain_defaults
from .settings import EpochSettings, Settings

RECIPES = Path(__file__).parent / "recipes"
FINETUNING = RECIPES / "finetune"
REQUIRED = {"model": "a name, a weight file, or scratch:NAME", "data": "a data set's folder, or a table"}


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is heard: the ``data`` section.

    Attributes:
        corpus: folder of a corpus, as ``corpora.corpus`` and ``corpora.pack`` made it.
        labelled: folder of a labelled set instead, as ``training.data.make_labelled_set`` made it.
        reader: "resident" keeps the corpus on the device, "stream" reads its shards, "codes" reads its codes.
        shares: of the real crops by kind, after scaling to one.
        synthetic: share of all crops that is made on the device.
        cap: the largest share of all draws that one package may have.
        augment: what happens to real crops.
        mixtures: of a labelled set.
    """

    corpus: str | None = None
    labelled: str | None = None
    reader: Literal["resident", "stream", "codes"] = "resident"
    shares: Mapping[str, float] = field(default_factory=dict)
    synthetic: float = 0.0
    cap: float = 0.08
    augment: Augment = field(default_factory=Augment)
    mixtures: MixtureConfig | None = None


@dataclass(frozen=True, kw_only=True)
class Published:
    """The set of the published run, for the count of epochs."""

    clips: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A pretraining run.

    Attributes:
        name: of the model to be.
        method: of the package, or "ast".
        encoder: the method's ``Config``.
        objective: keyword arguments of the method's objective, checked.
        data, loop: see their classes.
        seed: of weights, crops and masks.
        init: a model whose weights the encoder starts from; None for random ones. An encoder of fewer blocks takes the
            first ones.
        stage: "first" learns by the method's objective, "labels" goes on with the classes of a labelled set.
        precision: as Lightning names it, or "auto" (``precision.settled``).
        strategy: of several processes: "ddp" or "fsdp".
        raw: the recipe as it was written.
    """

    name: str
    method: str
    encoder: Any
    objective: Mapping[str, Any]
    data: Data
    loop: Settings
    seed: int
    precision: str
    strategy: str = "ddp"
    init: str | None = None
    stage: Literal["first", "labels"] = "first"
    published: Published = Published()
    raw: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: Mapping[str, Any], source: str | Path = "the recipe") -> "Recipe":
        """From what YAML or a checkpoint holds."""
        where = Where(str(source))
        values = arguments({name: key for name, key in keys_of(cls).items() if name != "raw"}, raw, where)
        values["encoder"] = _config(values["method"], raw["encoder"], where)
        keys = methods.objective_of(values["method"], values.get("stage", "first")).keys(values["encoder"])
        values["objective"] = arguments(keys, raw["objective"], where.of("objective"))
        return cls(**values, raw=raw)


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How clips are heard in fine-tuning: the ``clips`` section.

    Attributes:
        seconds: the most that training hears of a clip at once.
        reader: "resident" keeps all clips in memory, "stream" reads them as they are drawn.
        workers: processes that a stream reads by; 0 reads between the steps.
        balanced: whether rare classes are heard as often as common ones.
    """

    seconds: float = 10.0
    reader: Literal["resident", "stream"] = "resident"
    workers: int = 4
    balanced: bool = False


@dataclass(frozen=True, kw_only=True)
class FinetuningRecipe:
    """A fine-tuning run.

    Attributes:
        name: of the recipe; by default that of its file.
        model: a name, a weight file, an hf:// address; scratch:NAME (or METHOD-SIZE) for random weights.
        data: a data set's folder, or a table; see ``training.data.manifests``.
        layout: how the folder of a well-known data set is read.
        fold: "all", or one, counted from 0.
        learn_valid: whether validation clips are learnt from as well.
        mode, decay, head_lr, pool, layers, drop_path, smoothing: as of ``Classifier``.
        loss: "ce" or "bce"; by default what the labels are.
        options: of the model, such as how many codebooks an AudioFormer reads.
        contrast: AudioFormer's second way of fine-tuning; see ``training.objectives.ft2``.
        results: a folder of results to enter the scores into, for ``evaluation.reports.results``.
        raw: the recipe as it was written, over the defaults.
    """

    name: str | None = None
    model: str
    data: str
    layout: str = ""
    fold: Literal["all"] | int = "all"
    learn_valid: bool = False
    mode: Literal["full", "frozen", "layer-decay"] = "layer-decay"
    decay: float = 0.75
    head_lr: float = 1.0
    loss: Literal["ce", "bce"] | None = None
    pool: str | None = None
    layers: Sequence[int] | None = None
    drop_path: float = 0.0
    smoothing: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    contrast: Contrast | None = None
    seed: int = 0
    precision: str = "auto"
    clips: ClipSettings = ClipSettings()
    mixup: Mixup = field(default_factory=Mixup)
    specaugment: SpecAugment = field(default_factory=SpecAugment)
    loop: EpochSettings
    results: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: Mapping[str, Any], source: str | Path = "the recipe") -> "FinetuningRecipe":
        """From what YAML holds, over the defaults."""
        keys = {name: key for name, key in keys_of(cls).items() if name != "raw"}
        return cls(**arguments(keys, raw, Where(str(source))), raw=raw)


def read_recipe(source: str, changes: Sequence[str] = ()) -> Recipe:
    """A pretraining recipe by path or name, with ``section.key=value`` changes."""
    path = find(source, RECIPES)
    return Recipe.parse(changed(load(path), changes), path.name)


def read_finetuning(source: str, changes: Sequence[str] = ()) -> FinetuningRecipe:
    """A fine-tuning recipe by path or name, with ``section.key=value`` changes, over the defaults."""
    path = find(source, FINETUNING)
    defaults = plain_defaults(FinetuningRecipe)
    del defaults["raw"]
    raw = changed({**copy.deepcopy(defaults), **load(path)}, changes)
    if isinstance(raw["clips"] or {}, Mapping):
        raw["clips"] = {**plain_defaults(ClipSettings), **(raw["clips"] or {})}
    raw["name"] = raw["name"] or Path(source).stem
    mapping(raw, defaults, Where(path.name))  # a misspelt key is named before one that is missing
    for key, values in REQUIRED.items():
        if not isinstance(raw[key], str):
            raise RecipeError(f"say {key}=...: {values}")
    return FinetuningRecipe.parse(raw, path.name)


def find(source: str, folder: Path) -> Path:
    """A recipe's file, by path or by name."""
    path = Path(source) if Path(source).is_file() else folder / f"{source}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        raise RecipeError(f"no recipe {source!r}; there are {names}")
    return path


def load(path: Path) -> dict[str, Any]:
    """What a recipe's file holds."""
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is no YAML: {error}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path} holds no sections")
    return raw


def changed(raw: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A recipe with changes ``section.key=value``, in place."""
    try:
        pairs = assignments(changes, yaml.safe_load, form="section.key=value")
    except AssignmentError as error:
        raise RecipeError(str(error)) from error
    for change, (key, value) in zip(changes, pairs, strict=True):
        *sections, last = key.split(".")
        entries: Any = raw
        for section in sections:
            entries = entries.get(section) if isinstance(entries, dict) else None
        if not isinstance(entries, dict):
            raise RecipeError(
                f"{change!r} is not of the form section.key=value: there is no section {'.'.join(sections)}"
            )
        entries[last] = value
    return raw


def _config(method: str, section: Any, where: Where) -> Any:
    """A method's ``Config`` from the ``encoder`` section: the fields of one, or ``size`` with changes."""
    try:
        module = methods.module_of(method)
    except WeightsError as error:
        raise where.error(f"method={method}: {error}") from error
    where = where.of("encoder")
    options = dict(mapping(section, ("size", *keys_of(module.Config)), where))
    size, sizes = options.pop("size", None), module.SIZES
    if size is not None and size not in sizes:
        raise where.error(f"{where.path}.size={size}: choose {' or '.join(sizes)}")
    try:
        return module.Config.of_size(size, **options) if size else module.Config(**options)
    except (TypeError, ValueError) as error:
        raise where.error(f"{where.path}: {error}") from error
