"""The codec's objective: give back the sound, through a residual quantiser that may stop after any of its codebooks.

After Défossez et al. (arXiv 2210.13438), section 3, without a discriminator: tokens have to be stable and informative,
and need not sound well. How many codebooks take part is drawn for every batch, so that the first alone means something.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from hear_audioformer.codec import Codec, Config

from ..codec.codebooks import Averages, shared, start_all, summed
from ..codec.decoder import Decoder
from ..codec.spectral import MelDistance
from ..codec.start import FAINTEST, even_out, louder
from ..precision import exact
from ..sections import Key, keywords
from . import Logs
from .masked_lm import entropy
from .melrvq import Melrvq

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


class CodecObjective(nn.Module):
    """Decoder, losses and learning codebooks around a codec.

    In training latents are normalised by their own batch, dimension by dimension. Otherwise their mean, which all
    weights of a layer move together, runs away from codebooks that follow by a hundredth a step, and one entry is left.
    Nothing then keeps dimensions from all saying the same, which is the easiest to quantise: ``decorrelation`` does.

    Args:
        encoder: the codec to train.
        waveform, mel, commitment, decorrelation: weights of the losses. The last is the sum, a dimension, of squared
            correlations with the other ones.
        after: the step from which latents are gathered for the codebooks' start; until they have started, nothing is
            quantised. Fresh encoders say nearly the same of all sounds.
        gathered: how many latents the start is computed from.
    """

    readers = ("audio",)
    begun: Tensor
    ready: Tensor

    def __init__(
        self,
        encoder: Codec,
        *,
        waveform: float = 0.1,
        mel: float = 1.0,
        commitment: float = 0.25,
        decorrelation: float = 0.0,
        after: int = 0,
        gathered: int = 10_000,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(encoder.config)
        for part in [*encoder.modules(), *self.decoder.modules()]:
            if isinstance(part, (nn.Conv1d, nn.ConvTranspose1d)):
                weight_norm(part)
        self.averages = nn.ModuleList(Averages(codebook) for codebook in encoder.quantizer.codebooks)
        self.distance = MelDistance(encoder.sample_rate)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.weights = waveform, mel, commitment, decorrelation
        self.after, self.gathered = after, gathered
        self.crop = encoder.sample_rate // encoder.hop * encoder.hop
        self._waiting: list[Tensor] = []

    def forward(self, audio: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Crops (batch, samples) -> the loss, its parts, and how well the first codebook is used."""
        if self.training and not audio.is_meta and not self.begun:
            self._begin(audio)
        latents, lag = self._normalised(self.encoder.encoder(audio[:, None]).float())
        if self.training and not audio.is_meta and step >= self.after and not self.ready:
            self._gather(latents)
        with exact(audio.device.type):
            quantised = self.quantise(latents, self.draw())
        reconstruction = self.decoder(quantised.values).float()
        with exact(audio.device.type):
            spectral = self.distance(reconstruction, audio.float())
        plain = (reconstruction - audio).abs().mean()
        alike = correlations(latents)
        parts = plain, spectral, quantised.commitment, alike
        loss = sum(weight * part for weight, part in zip(self.weights, parts, strict=True))
        first = quantised.codes[:, 0]
        logs = {
            "mel": spectral,
            "waveform": plain,
            "commitment": quantised.commitment,
            "correlations": alike,
            "perplexity": entropy(first, self.encoder.config.codes, torch.ones_like(first)).exp(),
            "revived": quantised.revived,
            "lag": lag,
        }
        return loss, logs

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

    def _normalised(self, latents: Tensor) -> tuple[Tensor, Tensor]:
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

    def _begin(self, audio: Tensor) -> None:
        """Brings all layers to one level on a first batch that can be heard, and the decoder's last to the sounds'."""
        level = shared(audio.float().std())
        if not level > FAINTEST:
            return
        latents, _ = self._normalised(even_out(self.encoder.encoder, audio[:, None]).float())
        even_out(self.decoder, latents)
        louder(self.decoder.last, level)
        self.begun.fill_(True)

    @torch.no_grad()
    def error(self, latents: Tensor, sound: Tensor) -> float:
        """The mean difference of log-mel values between a sound (1, samples) and what is made of latents of it."""
        return self.distance.apart(self.decoder(latents), sound)

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
    def _gather(self, latents: Tensor) -> None:
        """Collects latents until there are enough to start the codebooks from."""
        self._waiting.append(latents.detach().mT.flatten(0, 1))
        if sum(map(len, self._waiting)) >= self.gathered:
            start_all(self.encoder.quantizer, self.averages, torch.cat(self._waiting))
            self._waiting = []
            self.ready.fill_(True)


def correlations(latents: Tensor) -> Tensor:
    """Normalised latents (batch, dim, frames) -> the sum of a dimension's squared correlations with others, a mean."""
    vectors = latents.transpose(1, 2).flatten(0, 1)
    products = vectors.T @ vectors / len(vectors)
    return (products - products.diagonal().diag()).square().sum() / len(products)


def shared_number(x: Tensor) -> Tensor:
    """The first process's draw, on all of them; through the device, where its messages need one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return shared(x.to(device)) if torch.distributed.is_initialized() else x


def keys(config: Config) -> dict[str, Key]:
    """The keys of a recipe's ``objective`` section."""
    return keywords(Melrvq if config.front == "mel" else CodecObjective)


def build(encoder: Codec, **options: Any) -> CodecObjective | Melrvq:
    """An objective from a recipe's ``objective`` section; what has no learnt encoder is fitted, not trained."""
    return Melrvq(encoder, **options) if encoder.config.front == "mel" else CodecObjective(encoder, **options)
