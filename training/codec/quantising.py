"""A quantiser that learns while the network before it does; shared by the codecs that are trained."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.codec import Codec

from ..objectives.masked_lm import entropy
from .codebooks import Averages, shared, start_all, summed

DECAY = 0.95  # of the latents' running mean and deviation
SMALLEST = 1e-12  # variance of a latent's dimension


@dataclass(frozen=True)
class Quantised:
    """What the quantiser made of latents (batch, dim, frames).

    Attributes:
        values: quantised latents; their gradient is that of the latents.
        codes: (batch, count, frames).
        commitment: how far the latents lie from what stands for them, a scalar.
        revived: entries that were replaced, a scalar.
    """

    values: Tensor
    codes: Tensor
    commitment: Tensor
    revived: Tensor


class Quantising(nn.Module):
    """A codec whose codebooks learn, without what its losses are.

    In training latents are normalised by their own batch, dimension by dimension. Otherwise their mean, which all
    weights of a layer move together, runs away from codebooks that follow by a hundredth a step, and one entry is left.

    Args:
        encoder: the codec to train.
        after: the step from which latents are gathered for the codebooks' start; until they have started, nothing is
            quantised. Fresh encoders say nearly the same of all sounds.
        gathered: how many latents the start is computed from.
    """

    readers = ("audio",)
    ready: Tensor

    def __init__(self, encoder: Codec, *, after: int, gathered: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.averages = nn.ModuleList(Averages(codebook) for codebook in encoder.quantizer.codebooks)
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.after, self.gathered = after, gathered
        self._waiting: list[Tensor] = []

    @torch.no_grad()
    def error(self, latents: Tensor, sound: Tensor) -> float:
        """The mean difference of log-mel values between a sound (1, samples) and what is made of latents of it."""
        raise NotImplementedError

    def log_mel(self, sound: Tensor) -> Tensor:
        """Log-mel values of a sound (1, samples), to be seen: (frames, bands)."""
        raise NotImplementedError

    def decoded_log_mel(self, latents: Tensor) -> Tensor:
        """Those of what is made of its latents, (frames, bands)."""
        raise NotImplementedError

    def perplexity(self, codes: Tensor) -> Tensor:
        """How many codes of the first codebook would be used if all were used alike, a scalar."""
        first = codes[:, 0]
        return entropy(first, self.encoder.config.codes, torch.ones_like(first)).exp()

    def draw(self) -> int:
        """How many codebooks take part: 1, 2, 4, ... or all of them, each as likely."""
        total = self.encoder.config.codebooks
        choices = [count for count in (1, 2, 4, 8, 16, 32) if count < total] + [total]
        return choices[int(shared_number(torch.randint(len(choices), ())))]

    def quantise(self, latents: Tensor, count: int) -> Quantised:
        """Normalised latents -> their quantised values; in training, the codebooks learn from them."""
        if not latents.is_meta and not self.ready:
            zeros = torch.zeros_like(latents[:, :1], dtype=torch.long)
            return Quantised(latents, zeros, latents.new_zeros(()), latents.new_zeros(()))
        residual, total = latents.mT, torch.zeros_like(latents.mT)
        codes, commitment, revived = [], latents.new_zeros(()), latents.new_zeros(())
        for codebook, averages in zip(self.encoder.quantizer.codebooks[:count], self.averages, strict=False):
            codes.append(codebook.nearest(residual.detach()))
            nearest = codebook(codes[-1])
            commitment = commitment + F.mse_loss(residual, nearest) / count
            if self.training and not latents.is_meta:
                vectors: Any = residual.detach().flatten(0, 1)
                averages.update(codebook, vectors, codes[-1])  # type: ignore[operator]
                revived = revived + averages.revive(codebook, vectors)  # type: ignore[operator]
            residual, total = residual - nearest, total + nearest
        values = latents + (total.mT - latents).detach()
        return Quantised(values, torch.stack(codes, dim=1), commitment, revived)

    def normalised(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents by their batch's mean and deviation in training, else by those that the codec has learnt.

        And how far the batch's mean is ahead of the codec's, in deviations.
        """
        if not self.training or latents.is_meta:
            return self.encoder.normalise(latents), latents.new_zeros(())
        variance, mean = torch.var_mean(latents, (0, 2), correction=0)
        deviation = (variance + SMALLEST).sqrt()
        lag = ((mean - self.encoder.centre) / self.encoder.scale).detach().square().mean().sqrt()
        self._update_statistics(mean, deviation)
        return (latents - mean[:, None]) / deviation[:, None], lag

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Moves the codec's own mean and deviation towards those of the batches of all processes."""
        all_of_them = summed(torch.cat([mean, deviation, mean.new_ones(1)]))
        share = torch.where(self.ready, 1 - DECAY, 1.0) * torch.isfinite(all_of_them).all()
        for statistic, newest in zip(
            (self.encoder.centre, self.encoder.scale), (all_of_them[:-1] / all_of_them[-1]).chunk(2), strict=True
        ):
            statistic.copy_(torch.where(share > 0, statistic.lerp(newest, share), statistic))

    @torch.no_grad()
    def gather(self, latents: Tensor, step: int) -> None:
        """Collects latents of training until there are enough to start the codebooks from."""
        if not self.training or latents.is_meta or step < self.after or self.ready:
            return
        self._waiting.append(latents.detach().mT.flatten(0, 1))
        if sum(map(len, self._waiting)) >= self.gathered:
            start_all(self.encoder.quantizer, self.averages, torch.cat(self._waiting))
            self._waiting = []
            self.ready.fill_(True)


def shared_number(x: Tensor) -> Tensor:
    """The first process's draw, on all of them; through the device, where its messages need one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return shared(x.to(device)) if torch.distributed.is_initialized() else x
