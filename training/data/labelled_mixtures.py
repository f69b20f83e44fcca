"""Mixtures of one to three labelled sources, drawn anew for every batch: who learns from them never hears one twice.

A batch is a function of its generator's seed and nothing else. All of it is made on the CPU, where the corpora are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from corpora.clips import RATE
from evaluation.scoring.labels import many_hot

from .draws import chance, uniform
from .effects import TINY, amplitude, colour, reverberate
from .labelled_clips import Batch
from .labelled_set import SYNTHESIS, LabelledSet, Source, Valid, odds
from .plain import plain

PLACES = 3  # parts of a long clip that are looked at; the loudest is taken, so that labels are heard
PART = 50  # mixtures made at a time for validation


@dataclass(frozen=True)
class MixtureConfig:
    """What mixtures are like.

    Attributes:
        shares: of the mixtures of one source, of two, of three, ...
        below_db: by how much a source may be weaker than the strongest possible one.
        peak_db: the mixture's peak is between this and full scale.
        colour: share of the sources that are heard through a microphone of uneven response.
        reverb: share of the sources that stand in a room.
    """

    shares: tuple[float, ...] = (0.4, 0.35, 0.25)
    below_db: float = 12.0
    peak_db: float = -24.0
    colour: float = 0.0
    reverb: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(self.shares))
        if not self.shares or min(self.shares) < 0 or sum(self.shares) <= 0:
            raise ValueError(f"data.mixtures.shares={self.shares}: shares of mixtures of one source, of two, ...")
        for name in ("colour", "reverb"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.mixtures.{name} is a share, from 0 to 1; got {getattr(self, name)}")


class LabelledMixtures:
    """Batches for the loop.

    Args:
        table: the labelled set.
        split: whose sources are heard.
        samples: of a mixture.
    """

    def __init__(
        self,
        table: LabelledSet,
        split: str,
        samples: int,
        config: MixtureConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.table, self.samples, self.device = table, samples, torch.device(device)
        self.config = config or MixtureConfig()
        self.sources = table.of_split(split)
        numbers = {name: number for number, name in enumerate(table.classes)}
        self.tags = [[numbers[tag] for tag in source.tags] for source in self.sources]
        self.cumulative = odds(self.sources, table.classes).cumsum(0)

    def __call__(self, batch: int, generator: torch.Generator) -> Batch:
        """A batch of mixtures on the device."""
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        audio, targets = self.draw(batch, torch.Generator().manual_seed(seed))
        return Batch(audio.to(self.device), [self.samples] * batch, targets.to(self.device))

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mixtures (batch, samples) in [-1, 1] and their classes (batch, classes)."""
        shares = torch.tensor(self.config.shares, dtype=torch.float64)
        counts = 1 + torch.multinomial(shares, batch, replacement=True, generator=generator)
        owner = torch.arange(batch).repeat_interleave(counts)
        draws = torch.rand(len(owner), 1 + PLACES, generator=generator, dtype=torch.float64)
        indices = torch.searchsorted(self.cumulative, draws[:, 0] * self.cumulative[-1], right=True)
        chosen = indices.clamp(max=len(self.sources) - 1).tolist()
        sounds = self._recorded(self._sounds(chosen, draws[:, 1:].numpy(), generator), generator)
        gain = amplitude(uniform(-self.config.below_db, 0.0, (len(owner), 1), generator))
        mixed = torch.zeros(batch, self.samples).index_add_(0, owner, gain * sounds)
        level = amplitude(uniform(self.config.peak_db, 0.0, (batch, 1), generator))
        labels: list[list[int]] = [[] for _ in range(batch)]
        for row, source in zip(owner.tolist(), chosen, strict=True):
            labels[row] += self.tags[source]
        targets = many_hot(labels, len(self.table.classes))
        return mixed * (level / mixed.abs().amax(1, keepdim=True).clamp(min=TINY)), targets

    def _sounds(self, chosen: Sequence[int], places: np.ndarray, generator: torch.Generator) -> Tensor:
        """One sound of each source, of equal power where it sounds, (sources, samples)."""
        sounds = torch.zeros(len(chosen), self.samples)
        made: dict[str, list[int]] = {}
        for row, number in enumerate(chosen):
            source = self.sources[number]
            if source.corpus == SYNTHESIS:
                made.setdefault(source.clip, []).append(row)
            else:
                heard = torch.from_numpy(self._heard(source, places[row]))
                sounds[row] = heard / _strength(heard)
        for name, rows in sorted(made.items()):
            audio = plain(name, len(rows), self.samples, RATE, generator)
            sounds[rows] = torch.stack([heard / _strength(heard) for heard in audio])
        return sounds

    def _recorded(self, sounds: Tensor, generator: torch.Generator) -> Tensor:
        """The sources as microphones and rooms leave them, of equal power again."""
        for share, damage in ((self.config.colour, colour), (self.config.reverb, reverberate)):
            if not share:
                continue  # nothing is drawn: batches of older recipes stay what they were
            rows = chance(share, (len(sounds),), generator).nonzero()[:, 0]
            if len(rows):
                heard = damage(sounds[rows], generator, RATE)
                sounds[rows] = heard / _strength(heard)
        return sounds

    def _heard(self, source: Source, places: np.ndarray) -> np.ndarray:
        """The loudest of a few parts of a long clip, or a short one once, anywhere; float32, (samples,)."""
        clip = self.table.clip(source)
        room = len(clip) - self.samples
        if room <= 0:
            heard = np.zeros(self.samples, np.float32)
            start = int(places[0] * (1 - room))
            heard[start : start + len(clip)] = clip
            return heard / 32768
        starts = (places * (room + 1)).astype(int)
        parts = [clip[start : start + self.samples].astype(np.float32) / 32768 for start in starts]
        return max(parts, key=lambda part: float(part @ part))


def _strength(sound: Tensor) -> Tensor:
    """The root mean square where there is sound, (..., 1): so that a short one is not made louder than a long one."""
    loud = sound.abs() > 0.01 * sound.abs().amax(-1, keepdim=True)
    return (sound.square().sum(-1, keepdim=True) / loud.sum(-1, keepdim=True).clamp(min=1)).sqrt().clamp(min=TINY)


def fixed(table: LabelledSet, samples: int, count: int, seed: int, config: MixtureConfig | None = None) -> Valid:
    """Mixtures of the validation sources, the same whenever they are made."""
    mixtures, generator = LabelledMixtures(table, "valid", samples, config), torch.Generator().manual_seed(seed)
    audio, targets = np.zeros((count, samples), np.int16), np.zeros((count, len(table.classes)), np.uint8)
    for start in range(0, count, PART):
        size = min(PART, count - start)
        mixed, classes = mixtures.draw(size, generator)
        audio[start : start + size] = (mixed * 32767).round().short().numpy()
        targets[start : start + size] = classes.byte().numpy()
    return Valid(audio, targets)
