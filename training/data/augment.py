"""What may happen to real crops before they are learnt from: ``data.augment`` of a recipe, made on the device.

All of it is drawn from the batch's generator, as the crops themselves, so that a resumed run augments as it would have.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .draws import chance
from .effects import gain, mix, reverberate


@dataclass(frozen=True)
class Augment:
    """Shares of the real crops, and by how much.

    Attributes:
        once: share of the clips shorter than a crop that are heard once, silence around them, instead of repeated.
        mix: share that get another crop of the batch added, from -20 to +6 dB, up to half a crop earlier or later.
        reverb: share that are put into a room of their own.
        gain_db: levels change by up to so many decibels, either way.
    """

    once: float = 0.0
    mix: float = 0.0
    reverb: float = 0.0
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        for name in ("once", "mix", "reverb"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.augment.{name} is a share, from 0 to 1; got {getattr(self, name)}")
        if self.gain_db < 0:
            raise ValueError(f"data.augment.gain_db must not be negative, got {self.gain_db}")

    def __call__(self, audio: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        """Crops (batch, samples) in [-1, 1] -> as many, mixed, in rooms, at other levels; ``once`` is the reader's."""
        if self.mix:
            audio = torch.where(chance(self.mix, (len(audio), 1), generator), mix(audio, generator), audio)
        if self.reverb:
            rows = chance(self.reverb, (len(audio),), generator).nonzero().flatten()
            if len(rows):  # rooms are dear: none for those who need none
                audio = audio.index_copy(0, rows, reverberate(audio[rows], generator, sample_rate))
        return gain(audio, generator, -self.gain_db, self.gain_db) if self.gain_db else audio
