"""SpecAugment: a band of frequencies and a stretch of time are hidden (Park et al., 2019).

Sizes are shares of the spectrogram, so that one recipe serves front ends of 80 and of 128 bands, and any length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SpecAugment:
    """How much may be hidden of a clip; how much is, and where, is drawn evenly for each.

    Attributes:
        bands: share of the bands, at most.
        frames: share of the frames, at most.
    """

    bands: float = 0.0
    frames: float = 0.0

    def __post_init__(self) -> None:
        for name in ("bands", "frames"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"specaugment.{name} is a share, from 0 to 1; got {getattr(self, name)}")

    def __call__(self, features: Tensor) -> Tensor:
        """Normalised features (batch, frames, bands) -> the same, zero, which is their mean, where they are hidden.

        Codes (batch, frames, codebooks), integers, become -1 there, which their models read as a mask.
        """
        if not (self.bands or self.frames):
            return features
        if features.ndim != 3:
            raise ValueError("SpecAugment hides parts of spectrograms and of codes: set specaugment=null")
        frames = hidden(len(features), features.shape[1], self.frames, features.device)
        if not features.is_floating_point():
            if self.bands:
                raise ValueError("codes have no bands to hide: set specaugment.bands=0, or specaugment=null")
            return features.masked_fill(frames[:, :, None], -1)
        bands = hidden(len(features), features.shape[2], self.bands, features.device)
        return features.masked_fill(frames[:, :, None] | bands[:, None, :], 0.0)


def hidden(batch: int, size: int, share: float, device: torch.device) -> Tensor:
    """For each row one run of places, at most a share of them, anywhere: (batch, size), by torch's own generator."""
    draws = torch.rand(2, batch, 1, device=device)
    most = int(share * size)
    width = (draws[0] * (most + 1)).floor().clamp(max=most)
    first = (draws[1] * (size - width + 1)).floor().clamp(max=size - width)
    index = torch.arange(size, device=device)
    return (index >= first) & (index < first + width)
