"""What a batch is made of: real crops, augmented or not, and a share of synthetic ones."""

from collections.abc import Iterable

import torch
from torch import Tensor

from .augment import Augment
from .crops import Crops
from .stream import Stream
from .synth import synthesise


class CropBatches:
    """Batches for the loop.

    Args:
        reader: of real crops.
        samples, sample_rate: of a crop.
        synthetic: share of all crops that is made on the device.
        augment: what happens to the real ones.
    """

    def __init__(
        self, reader: Crops | Stream, samples: int, sample_rate: int, *, synthetic: float, augment: Augment
    ) -> None:
        self.reader, self.samples, self.sample_rate = reader, samples, sample_rate
        self.synthetic, self.augment = synthetic, augment

    def begin(self, batch: int, seeds: Iterable[int]) -> None:
        """Lets the reader read ahead, if it is of that kind; see ``Stream.begin``."""
        if isinstance(self.reader, Stream) and (real := self.real(batch)):
            self.reader.begin(real, seeds)

    def real(self, batch: int) -> int:
        """Real crops in a batch."""
        return batch - round(batch * self.synthetic)

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, samples), float32 in [-1, 1], on the generator's device; real crops come first."""
        real, parts = self.real(batch), []
        if real:
            parts.append(self.augment(self.reader(real, generator), self.sample_rate, generator))
        if made := batch - real:
            parts.append(synthesise(made, self.samples, self.sample_rate, generator))
        return torch.cat(parts)
