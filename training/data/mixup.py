"""Mixup: two clips sound at once, and count for both their labels by their shares (Zhang et al., 2018).

Waveforms are mixed, as AST does, so that it serves every encoder.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixup:
    """What is mixed in a batch.

    Attributes:
        share: of the clips that get another one of the batch mixed in.
        alpha: both parameters of the Beta distribution that the first one's share is drawn from.
    """

    share: float = 0.0
    alpha: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"mixup.share is a share of the clips, from 0 to 1; got {self.share}")
        if not self.alpha > 0:
            raise ValueError(f"mixup.alpha must be positive, got {self.alpha}")

    def __call__(
        self, audio: Tensor, lengths: list[int], targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, list[int], Tensor]:
        """Clips (batch, samples), their lengths, targets (batch, classes) -> the same, mixed.

        A mixed clip is as long as the longer of its two.
        """
        if not self.share:
            return audio, lengths, targets
        device = generator.device
        seed = int(torch.randint(2**62, (1,), generator=generator, device=device))
        turn = np.random.default_rng(seed)  # torch draws from no Beta distribution by a generator
        partners = turn.permutation(len(audio))
        chosen = turn.random(len(audio)) < self.share
        shares = np.where(chosen, turn.beta(self.alpha, self.alpha, len(audio)), 1.0)
        weight = torch.from_numpy(shares).float().to(audio.device)[:, None]
        other = torch.from_numpy(partners).to(audio.device)
        longer = [
            max(length, lengths[partner]) if mixed else length
            for length, partner, mixed in zip(lengths, partners, chosen, strict=True)
        ]
        mixed_audio = weight * audio + (1 - weight) * audio[other]
        return mixed_audio, longer, weight * targets + (1 - weight) * targets[other]
