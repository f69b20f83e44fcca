"""The command ``python -m evaluation.suites.open.perturb`` adds noise or reverberation to the test clips of tasks.

Heads are trained on clean clips, so the drop of a score measures the robustness of a model's embeddings. A task with
k folds becomes k tasks of one round each, as every fold is once for test and otherwise for training.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import soundfile

from corpora import corpus
from corpora.corpus import Failure

from ...tasks import write as hear_format
from ...tasks.write import RATE, Clip, Event, TaskMetadata
from . import degrade, fetch
from .plan import TRAIN_VALID_TEST
from .signals import generator, normalised

WRITTEN = ("task_name", "embedding_type", "prediction_type", "split_mode", "splits", "sample_duration", "evaluation")


class Perturbation(NamedTuple):
    """The perturbation of test clips."""

    noise: str
    snr: float | None
    reverb: bool
    seed: int
    talk: np.ndarray

    @property
    def suffix(self) -> str:
        """The suffix of the tasks' names, such as pink20_reverb."""
        parts = [f"{self.noise}{self.snr:g}".replace("-", "m").replace(".", "p")] if self.snr is not None else []
        return "_".join([*parts, *(["reverb"] if self.reverb else [])])

    def apply(self, pcm: np.ndarray, *key: object) -> np.ndarray:
        """The perturbed clip, at its own length and with a peak of -3 dBFS."""
        rng, samples = generator("perturb", self.seed, *key), pcm / 32768
        if self.reverb:
            samples = degrade.reverberant(samples, rng)
        if self.snr is not None:
            samples = degrade.noisy(samples, degrade.noise(self.noise, len(samples), rng, self.talk), self.snr)
        return normalised(samples)


class Round(NamedTuple):
    """A task of one round, and its use of the original's splits."""

    name: str
    origin: dict[str, str]  # split of the original -> train, valid or test


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("tasks", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--snr", type=float, metavar="DB", help="Add noise, so far below the sound.")
@click.option("--noise", type=click.Choice(degrade.NOISES), default="pink", show_default=True)
@click.option("--reverb", is_flag=True, help="Put every clip into a random room.")
@click.option("--seed", default=0, show_default=True, help="Of rooms and noises.")
@click.option("--rates", default=str(RATE), show_default=True, metavar="HZ,...", help="Written side by side.")
@click.option("--mirror", default="", metavar="URL", help="A Debian archive, for babble; without it, apt is asked.")
@click.option("--suite", "release", default="bookworm", show_default=True, help="Of --mirror.")
def main(
    tasks: Path,
    out: Path,
    snr: float | None,
    noise: str,
    reverb: bool,
    seed: int,
    rates: str,
    mirror: str,
    release: str,
) -> None:
    """Writes OUT/tasks: every task in the folder TASKS, with its test clips damaged and all others as they are.

    \b
    Examples:
      python -m evaluation.suites.open.perturb data/open-suite/tasks data/open-suite-babble20 --snr 20 --noise babble
      python -m evaluation.suites.open.perturb data/open-suite/tasks data/open-suite-reverb --reverb

    Babble is made of speech that no task uses, 11 MB to download.
    """
    if snr is None and not reverb:
        raise Failure("nothing to do: name --snr, --reverb, or both")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with corpus.locked(out), corpus.single_thread():
            talk = np.zeros(0)
            if noise == "babble" and snr is not None:
                library, failed = fetch.fetch(out, {degrade.TALK}, 1, mirror, release)
                if failed:
                    raise Failure(failed[0])
                talk = degrade.talk(library)
            perturbation = Perturbation(noise, snr, reverb, seed, talk)
            for folder in sorted(path for path in tasks.iterdir() if path.is_dir()):
                for written in perturb(folder, out / "tasks", perturbation, [int(rate) for rate in rates.split(",")]):
                    click.echo(written)
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from error


def perturb(folder: Path, out: Path, perturbation: Perturbation, rates: list[int]) -> Iterator[Path]:
    """Writes the perturbed versions of one task."""
    metadata = json.loads((folder / "task_metadata.json").read_text())
    extra = {key: value for key, value in metadata.items() if key not in (*WRITTEN, "version", "mode", "nfolds")}
    for name, origin in _rounds(metadata):
        task = TaskMetadata(
            name=f"{name}_{perturbation.suffix}",
            embedding_type=metadata["embedding_type"],
            prediction_type=metadata["prediction_type"],
            split_mode="trainvaltest",
            splits=TRAIN_VALID_TEST,
            sample_duration=metadata["sample_duration"],
            evaluation=tuple(metadata["evaluation"]),
            extra=extra,
        )
        yield hear_format.write(out, task, _clips(folder, metadata["task_name"], origin, perturbation), rates)


def _rounds(metadata: dict[str, Any]) -> Iterator[Round]:
    name, splits = metadata["task_name"], sorted(metadata["splits"])
    if metadata["split_mode"] == "trainvaltest":
        yield Round(name, {split: split for split in TRAIN_VALID_TEST})
        return
    for index, split in enumerate(splits):  # validated on the next, as HEAR's kit does it
        others = {other: "train" for other in splits}
        yield Round(f"{name}_{split}", {**others, splits[(index + 1) % len(splits)]: "valid", split: "test"})


def _clips(folder: Path, task: str, origin: dict[str, str], perturbation: Perturbation) -> Iterator[Clip]:
    with open(folder / "groups.csv", newline="") as file:
        groups = {row["file"]: row["group"] for row in csv.DictReader(file)}
    for split, use in origin.items():
        for file_name, annotations in json.loads((folder / f"{split}.json").read_text()).items():
            pcm, _ = soundfile.read(folder / str(RATE) / split / file_name, dtype="int16")
            labels = [Event(**label) if isinstance(label, dict) else label for label in annotations]
            name = file_name.removesuffix(".wav")
            yield Clip(
                use, name, perturbation.apply(pcm, task, name) if use == "test" else pcm, labels, groups[file_name]
            )


if __name__ == "__main__":
    main()
