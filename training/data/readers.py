"""What an objective may learn from: crops of audio, codes of crops, or labelled mixtures."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click
import torch

from corpora.clips import RATE
from corpora.index import Index
from corpora.pack import Pack

from ..recipe import Data
from .code_batches import CodeBatches, CodeCrops
from .codes import Codes
from .crop_batches import CropBatches
from .crops import Crops
from .labelled_mixtures import LabelledMixtures, MixtureConfig
from .labelled_set import LabelledSet
from .stream import Stream, workers_for


class Corpus(Protocol):
    """What a checkpoint keeps of a corpus."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def hours(self) -> float: ...


Source = Callable[[int, torch.Generator], Any]  # batch size, generator -> a batch on the device
Open = Callable[[Data, Any, torch.device], tuple[Source, Corpus]]


def kind_of(data: Data) -> str | None:
    """The reader that a recipe's ``data`` section asks for, a key of ``READERS``; None where it leaves that open."""
    if data.labelled is not None or data.mixtures is not None:
        return "labelled"
    if data.reader == "codes":
        return "codes"
    return None if data.corpus is None else "audio"


def choose(data: Data, objective: Any) -> None:
    """Has an objective learn from what a recipe's ``data`` section gives, if it can."""
    kind = kind_of(data) or objective.readers[0]
    if kind not in objective.readers:
        choices = " or ".join(ADVICE[reader] for reader in objective.readers)
        raise click.UsageError(
            f"this objective learns from {' or '.join(objective.readers)}, not from {kind}: {choices}"
        )
    objective.reader = kind


def open_source(data: Data, objective: Any, device: torch.device) -> tuple[Source, Corpus]:
    """Batches for the loop, and what they are made of."""
    return READERS[objective.reader](data, objective, device)


def audio_crops(data: Data, objective: Any, device: torch.device) -> tuple[CropBatches, Pack | Index]:
    """Crops of a corpus that is kept on the device, or read ahead from disk."""
    _require_rate(objective)
    folder = _corpus(data)
    options: dict[str, Any] = {"cap": data.cap, "once": data.augment.once, "device": device}
    corpus: Pack | Index
    reader: Crops | Stream
    if data.reader == "stream":
        corpus = Index.open(folder)
        workers = workers_for(int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        reader = Stream(corpus, objective.crop, data.shares, **options, workers=workers)
    else:
        corpus = Pack.open(folder)
        reader = Crops(corpus, objective.crop, data.shares, **options)
    sample_rate = objective.encoder.sample_rate
    return CropBatches(reader, objective.crop, sample_rate, synthetic=data.synthetic, augment=data.augment), corpus


def labelled_mixtures(data: Data, objective: Any, device: torch.device) -> tuple[LabelledMixtures, LabelledSet]:
    """Mixtures of a labelled set, which must have as many classes as the recipe says."""
    _require_rate(objective)
    if not data.labelled:
        raise click.UsageError("name a labelled set: data.labelled=FOLDER, as training.data.make_labelled_set made it")
    labelled_set = LabelledSet.open(Path(data.labelled))
    if len(labelled_set.classes) != objective.classes:
        count = len(labelled_set.classes)
        raise click.UsageError(f"{labelled_set.folder} has {count} classes: set objective.classes to that")
    config = data.mixtures or MixtureConfig()
    return LabelledMixtures(labelled_set, "train", objective.crop, config, device), labelled_set


def code_windows(data: Data, objective: Any, device: torch.device) -> tuple[CodeBatches, Codes]:
    """Windows of the codes that ``training.data.codes`` has made with the encoder's codec."""
    encoder, folder = objective.encoder, _corpus(data)
    if not encoder.config.codec_hash:
        raise click.UsageError("name the codec that made the codes: objective.codec=NAME")
    if data.augment != type(data.augment)():
        raise click.UsageError("recordings can only be augmented before they are codes: set data.augment=null")
    corpus = Codes.open(folder, encoder.config.codec_id)
    if not corpus.speaks(encoder.codec):
        raise click.UsageError(f"{folder}: its codes of {corpus.codec} are of a codec that was trained anew")
    frames, count = encoder.config.window, encoder.config.codebooks
    reader = CodeCrops(corpus, frames, count, data.shares, cap=data.cap, device=device)
    return CodeBatches(reader, objective.coded, objective.crop, encoder.sample_rate, data.synthetic), corpus


ADVICE = {
    "audio": "name data.corpus=FOLDER with data.reader=resident or stream",
    "codes": "name data.corpus=FOLDER with data.reader=codes",
    "labelled": "name data.labelled=FOLDER",
}
READERS: dict[str, Open] = {"audio": audio_crops, "codes": code_windows, "labelled": labelled_mixtures}


def _corpus(data: Data) -> Path:
    if not data.corpus:
        raise click.UsageError("name a corpus: data.corpus=FOLDER, as corpora.corpus and corpora.pack made it")
    return Path(data.corpus)


def _require_rate(objective: Any) -> None:
    rate = objective.encoder.sample_rate
    if rate != RATE:
        raise click.UsageError(
            f"corpora are kept at {RATE} Hz, the encoder wants {rate}: set encoder.sample_rate={RATE}, or for a codec "
            "of that rate data.reader=codes"
        )
