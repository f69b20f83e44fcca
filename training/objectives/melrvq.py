"""A codec without a learnt encoder: principal directions of log-mel frames, and clusters of what clusters leave.

Nothing of it learns by gradients; ``training.fit_melrvq`` fits it in minutes. It is no neural codec, and gives no
sound back: what its codes keep is told in log-mel values.
"""

import torch
from torch import Tensor, nn

from hear_audioformer.codec import Codec
from hear_audioformer.codec.mel import MelStack

from ..codec.codebooks import clusters

LEAST = 1e-6  # variance of a direction, as a share of the largest


class Melrvq(nn.Module):
    """A codec on log-mel values, and how it is fitted.

    Args:
        encoder: the codec to fit.
        whiten: how far directions are brought to one variance, from 0 (as they are) to 1 (all alike).
    """

    readers = ("audio",)

    def __init__(self, encoder: Codec, *, whiten: float = 0.0) -> None:
        super().__init__()
        if not isinstance(encoder.encoder, MelStack):
            raise ValueError('melrvq fits codecs with front="mel"')
        if not 0 <= whiten <= 1:
            raise ValueError(f"whiten={whiten} is not between 0 and 1")
        self.encoder = encoder
        self.whiten = whiten
        self.crop = encoder.sample_rate // encoder.hop * encoder.hop

    @property
    def mel(self) -> MelStack:
        made = self.encoder.encoder
        assert isinstance(made, MelStack)
        return made

    def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        raise ValueError("nothing here learns by gradients: fit it with python -m training.fit_melrvq")

    @torch.no_grad()
    def fit(self, audio: Tensor) -> list[float]:
        """Fits everything to crops (batch, samples); what is left of the variance after each codebook, as shares.

        A recording's parts are frames to it that know their neighbours within the crop; its edges are left out.
        """
        inner = slice(self.mel.around, -self.mel.around or None)
        self.mel.mean.copy_(self.mel.log_mel(audio)[:, 2 * self.mel.around : -2 * self.mel.around or None].mean((0, 1)))
        stacks = self.mel.stacks(audio)[:, inner].flatten(0, 1)
        self.mel.directions.copy_(directions(stacks, self.encoder.config.latent, self.whiten))
        residual = stacks @ self.mel.directions
        everything, left = residual.square().sum(), []
        for codebook in self.encoder.quantizer.codebooks:
            codebook.embed.copy_(clusters(residual, len(codebook.embed)))
            residual = residual - codebook(codebook.nearest(residual))
            left.append(float(residual.square().sum() / everything))
        return left

    @torch.no_grad()
    def error(self, latents: Tensor, sound: Tensor) -> float:
        """The mean absolute difference between log-mel values of a sound (1, samples) and what latents say of them."""
        decoded = self.mel.values(latents)
        around = self.mel.around
        return float((decoded - self.mel.log_mel(sound)[:, around : around + decoded.shape[1]]).abs().mean())


def directions(vectors: Tensor, count: int, whiten: float) -> Tensor:
    """The directions (dim, count) in which vectors (n, dim) vary most, the largest first."""
    variances, eigenvectors = torch.linalg.eigh((vectors.T @ vectors / len(vectors)).double())
    largest, kept = variances.flip(0)[:count], eigenvectors.flip(1)[:, :count]
    return (kept * largest.clamp(min=LEAST * largest[0]).pow(-whiten / 2)).to(vectors.dtype)
