"""Whether a codec is fit to be read by a language model: four questions, asked of recordings it has not learnt from.

    python -m training.reports.codec_accept runs/melrvq-16k data/suite/tasks/drum-open1-full

1. Are the first codebooks used? Their perplexity, and the share of the commonest code where anything is heard.
2. Does every further codebook help? The log-mel distance with 1, 2, 4, ... of them: of the decoder's sound, or of what
   a codec without decoder says of its own log-mel values. And of latents as they are, which no codebooks can better.
3. Do codes stay with their sounds? The share of equal codes after a shift by one frame.
4. Do codes tell what sounds are? A linear probe on histograms of codebook 1, beside one on mean log-mel values.

The recordings are those of a labelled task in HEAR's format. The limits are first guesses, to be revised with the first
good codec.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from evaluation.scoring import scene
from evaluation.scoring.scores import SCORES
from evaluation.tasks.tasks import Task, TaskError, read
from hear_audioformer import audio
from hear_audioformer.audio import AudioError

from ..codec.quantising import Quantising
from ..codec.spectral import MelDistance
from ..data.codes import heard
from ..objectives.masked_lm import entropy
from ..objectives.melrvq import Melrvq
from .codec_listen import counts, of_run, whole

CODEBOOKS = 4  # at most, that a language model reads
PERPLEXITY, COMMONEST, GAIN, STABLE = 0.29, 0.05, 0.25, 0.95  # the first as a share of the codes: 300 of 1024
REACH = 0.5  # seconds that a frame of the compact codec may remember
MEL_WINDOW = 512
SECONDS = 10.0  # of a recording that are looked at


@dataclass
class Report:
    """The answers; lists go by codebook, ``errors`` by number of codebooks, ``probe`` by features.

    ``unquantised`` is the error that is left without any codebook.
    """

    perplexity: list[float] = field(default_factory=list)
    commonest: list[float] = field(default_factory=list)
    errors: dict[int, float] = field(default_factory=dict)
    unquantised: float = 0.0
    stable: float = 0.0
    probe: dict[str, float] = field(default_factory=dict)

    def verdicts(self, codes: int) -> dict[str, bool]:
        """The first three questions answered by yes or no; the fourth is for the reader."""
        errors = list(self.errors.values())
        falling = all(after < before for before, after in pairwise(errors))
        return {
            "codebooks are used": min(self.perplexity) >= PERPLEXITY * codes and max(self.commonest) <= COMMONEST,
            "every codebook helps": falling and errors[-1] <= (1 - GAIN) * errors[0],
            "codes stay with sounds": self.stable >= STABLE,
        }


def clips(task: Task, rate: int) -> Iterator[Tensor]:
    """The recordings of a task, in its order, (samples,) each."""
    for item in task.items:
        yield audio.read(task.audio(item, rate), rate)[: round(SECONDS * rate)]


@torch.no_grad()
def examine(objective: Quantising | Melrvq, task: Task, listened: int = 100) -> Report:
    """Asks all four questions; the second of every so-many-th recording, ``listened`` in all."""
    codec = objective.encoder
    size, read = codec.config.codes, min(CODEBOOKS, codec.config.codebooks)
    used = torch.zeros(read, size, dtype=torch.float64)
    mel = MelDistance(codec.sample_rate)
    errors: dict[int, list[float]] = {count: [] for count in counts(codec.config.codebooks)}
    equal, compared, histograms, spectra, left = 0, 0, [], [], []
    for number, clip in enumerate(clips(task, codec.sample_rate)):
        sound = whole(clip, codec.hop)
        codes, loud = codec(sound), heard(sound, codec.hop)[0]
        one_hot = torch.nn.functional.one_hot(codes[0, :read], size).double()
        used += (one_hot * loud[:, None]).sum(1)
        histograms.append(one_hot[0].mean(0))
        spectra.append(mel.log_mel(sound, MEL_WINDOW)[0].mean(0))
        same = unmoved(objective, sound, codes[0, 0])
        equal, compared = equal + int(same.sum()), compared + len(same)
        if number % max(1, len(task.items) // listened) == 0:
            for count, distances in errors.items():
                distances.append(objective.error(codec.quantizer.decode(codes[:, :count]), sound))
            left.append(objective.error(codec.latents(sound), sound))
    shares = used / used.sum(1, keepdim=True).clamp(min=1)
    places = torch.arange(size)
    return Report(
        [float(entropy(places, size, row.float()).exp()) for row in used],
        shares.amax(1).tolist(),
        {count: float(np.mean(distances)) for count, distances in errors.items()},
        float(np.mean(left)),
        equal / max(compared, 1),
        {
            "histograms of codebook 1": probe(task, torch.stack(histograms)),
            "mean log-mel values": probe(task, torch.stack(spectra)),
        },
    )


def unmoved(objective: Quantising | Melrvq, sound: Tensor, codes: Tensor) -> Tensor:
    """Where a sound without its first frame has the codes (frames,) that it has with it; beginnings left out."""
    codec = objective.encoder
    begin = 1 + round(REACH * codec.sample_rate / codec.hop)
    if len(codes) <= begin:
        return torch.zeros(0, dtype=torch.bool)
    later = codec(sound[:, codec.hop :], 1)[0, 0]
    return later[begin - 1 :] == codes[begin:]


def probe(task: Task, features: Tensor) -> float:
    """The task's score of a linear head, as ``evaluation.probe`` fits it."""
    outcome = scene.score(task, features.float().numpy())
    once = np.ones((1, len(outcome.folds)), np.float32)
    return float(SCORES[task.score](outcome.columns, once)[0])


def show(report: Report, task: Task, codes: int) -> None:
    """Prints a report."""

    def line(name: str, values: list[float], form: str) -> None:
        click.echo(f"{name:34}" + "".join(f"{value:9{form}}" for value in values))

    line(f"perplexity of {codes}, codebook 1, 2, ...", report.perplexity, ".0f")
    line("share of the commonest code", report.commonest, ".3f")
    line(f"log-mel distance, {', '.join(map(str, report.errors))} codebooks", list(report.errors.values()), ".3f")
    line("log-mel distance, unquantised", [report.unquantised], ".3f")
    line("codes equal after a shift", [report.stable], ".4f")
    for features, value in report.probe.items():
        line(f"{task.score}, {features}", [value], ".3f")
    if task.chance is not None:
        line(f"{task.score}, chance", [task.chance], ".3f")
    for question, answer in report.verdicts(codes).items():
        click.echo(f"{question:34}{'yes' if answer else 'no':>9}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", metavar="TASK", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON of the figures as well.")
def main(run: Path, folder: Path, out: Path | None) -> None:
    """Examines the codec of RUN on the recordings and labels of TASK, a folder in HEAR's format."""
    try:
        task = read(folder)
        if task.is_event:
            raise TaskError(f"{folder}: events are no labels of whole recordings; choose a scene task")
        objective = of_run(run)
        report = examine(objective, task)
    except (TaskError, AudioError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    codes = objective.encoder.config.codes
    show(report, task, codes)
    if out:
        identity = {"task": task.name, "codebook_hash": objective.encoder.codebook_hash()}
        page = {**asdict(report), **identity, "verdicts": report.verdicts(codes)}
        out.write_text(json.dumps(page, indent=1) + "\n")


if __name__ == "__main__":
    main()
