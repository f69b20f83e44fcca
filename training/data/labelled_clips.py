"""Batches of clips with their labels, for learning from both.

A batch is a function of its generator's seed and nothing else, as in ``crops.py``. Clips are drawn with replacement,
evenly or so that rare classes are heard as often as common ones, and stay as long as they are up to a limit, beyond
which a random part is taken. Nothing is repeated or filled up: what a clip's end is followed by in a batch is told by
its length.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from evaluation.scoring.labels import many_hot
from hear_audioformer import audio

from .mixup import Mixup
from .worker_reads import WorkerReads


class Batch(NamedTuple):
    """What a classifier learns from.

    Attributes:
        audio: (clips, samples), zeros behind a clip's end.
        lengths: samples of each clip.
        targets: (clips, classes), shares of a label from 0 to 1.
    """

    audio: Tensor
    lengths: list[int]
    targets: Tensor


class Clips(Dataset[tuple[Tensor, list[int]]]):
    """Recordings by number, read when they are needed or kept in memory; what a worker process has.

    Args:
        paths: their files.
        rate: that they are resampled to.
        samples: the most that is taken of one.
        keep: whether all are read at once and kept, as 16-bit samples.
    """

    def __init__(self, paths: Sequence[Path], rate: int, samples: int, *, keep: bool) -> None:
        self.paths, self.rate, self.samples = [str(path) for path in paths], rate, samples
        self.kept: list[Tensor] = []
        if keep:
            bar: Any = click.progressbar(length=len(paths), label="Reading clips", file=sys.stderr)
            with ThreadPoolExecutor(2) as pool, bar:
                for clip in pool.map(self._read, range(len(paths))):
                    self.kept.append((clip * 32768).round().clamp(-32768, 32767).short())
                    bar.update(1)

    def __getitem__(self, places: Tensor) -> tuple[Tensor, list[int]]:
        """Rows (clip, where in it from 0 to 1) -> parts of clips, zeros behind the shorter ones, and their lengths."""
        parts = [self._part(int(clip), where) for clip, where in places.tolist()]
        return pad_sequence(parts, batch_first=True), [len(part) for part in parts]

    def _part(self, clip: int, where: float) -> Tensor:
        samples = self.kept[clip].float() / 32768 if self.kept else self._read(clip)
        first = int(where * max(0, len(samples) - self.samples + 1))
        return samples[first : first + self.samples]

    def _read(self, clip: int) -> Tensor:
        return audio.read(self.paths[clip], self.rate)


class Labelled:
    """Batches for the loop.

    Args:
        clips: recordings.
        labels: of each, as places among ``classes``.
        balanced: whether rare classes are heard as often as common ones.
        mixup: what is mixed.
        workers: processes that read ahead; 0 reads in the training process.
    """

    def __init__(
        self,
        clips: Clips,
        labels: Sequence[tuple[int, ...]],
        classes: int,
        *,
        balanced: bool = False,
        mixup: Mixup | None = None,
        workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.labels, self.classes = labels, classes
        self.mixup, self.device = mixup or Mixup(), torch.device(device)
        self.cumulative = odds(labels, balanced).cumsum(0).to(self.device)
        self.reads = WorkerReads(clips, self._places, self.device, workers)

    def begin(self, batch: int, seeds: Iterable[int]) -> None:
        """From here on, the loop asks for batches of one size by generators of these seeds, in this order."""
        self.reads.begin(batch, seeds)

    def __call__(self, batch: int, generator: torch.Generator) -> Batch:
        """A batch on the device."""
        seed = generator.initial_seed()
        places = self._places(batch, generator)
        audio, lengths = self.reads.read(places, seed)
        targets = many_hot([self.labels[int(clip)] for clip in places[:, 0].tolist()], self.classes)
        clips = audio.to(self.device, non_blocking=True)
        return Batch(*self.mixup(clips, list(lengths), targets.to(self.device), generator))

    def _places(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, 2), float64, on the CPU: which clip, and where in it."""
        draws = torch.rand(batch, 2, generator=generator, dtype=torch.float64, device=self.device)
        clip = torch.searchsorted(self.cumulative, draws[:, 0] * self.cumulative[-1], right=True)
        return torch.stack([clip.clamp(max=len(self.labels) - 1).double(), draws[:, 1]], dim=1).cpu()


def odds(labels: Sequence[tuple[int, ...]], balanced: bool) -> Tensor:
    """The odds of each clip, (clips,), float64: the same for all, or the sum over its labels of one over their number.

    With one label a clip the classes then have equal odds.
    """
    if not balanced:
        return torch.ones(len(labels), dtype=torch.float64)
    counts = Counter(label for own in labels for label in own)
    return torch.tensor([sum(1 / counts[label] for label in own) for own in labels], dtype=torch.float64)
