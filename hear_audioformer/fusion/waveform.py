"""A clip as front ends read it: as a whole, or as it is heard, in order and in constant memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..feature_stream import Tail

UNKNOWN = 1 << 62  # samples of a clip whose end has not been heard


class Waveform:
    """Clips of one length that are there as a whole, (clips, samples).

    Attributes:
        samples: in each.
    """

    samples: int

    def __init__(self, audio: Tensor) -> None:
        self.audio = audio
        self.samples = audio.shape[1]

    def __len__(self) -> int:
        return len(self.audio)

    @property
    def device(self) -> torch.device:
        return self.audio.device

    def reach(self, stop: int) -> None:
        """Sees to it that the samples before ``stop``, as far as there are, can be asked for."""

    def part(self, start: int, stop: int) -> Tensor:
        """The samples from ``start`` to ``stop``, or to the last, (clips, samples)."""
        return self.audio[:, start:stop]


class Heard(Waveform):
    """One clip that comes in parts. What lies before a part that was asked for is forgotten.

    Args:
        parts: (1, samples) each.
        samples: of the clip, where they are known before.
    """

    def __init__(self, parts: Iterator[Tensor], samples: int = UNKNOWN) -> None:
        self.samples = samples
        self._parts, self._tail = parts, Tail()
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return 1

    @property
    def device(self) -> torch.device:
        return self._device

    def reach(self, stop: int) -> None:
        while self._tail.samples < min(stop, self.samples):
            part = next(self._parts, None)
            if part is None:
                self.samples = self._tail.samples
            else:
                self._device = part.device
                self._tail.add(part)

    def part(self, start: int, stop: int) -> Tensor:
        self.reach(stop)
        self._tail.drop(start)
        return self._tail.part(start, stop)
