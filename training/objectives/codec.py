"""The codec's objective: give back the sound, through a residual quantiser that may stop after any of its codebooks.

After Défossez et al. (arXiv 2210.13438), section 3, without a discriminator: tokens have to be stable and informative,
and need not sound well. How many codebooks take part is drawn for every batch, so that the first alone means something.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from hear_audioformer.codec import Codec, Config, Front

from ..codec.codebooks import shared
from ..codec.decoder import Decoder
from ..codec.quantising import Quantising
from ..codec.spectral import MelDistance
from ..codec.start import FAINTEST, even_out, louder
from ..precision import exact
from ..sections import Key, keywords
from . import Logs
from .melcodec import MelCodecObjective
from .melrvq import Melrvq

SEEN_WINDOW = 512  # samples, of pictures


class CodecObjective(Quantising):
    """Decoder and losses around a codec of waveforms.

    Nothing keeps dimensions of normalised latents from all saying the same, which is the easiest to quantise:
    ``decorrelation`` does.

    Args:
        encoder: the codec to train.
        waveform, mel, commitment, decorrelation: weights of the losses. The last is the sum, a dimension, of squared
            correlations with the other ones.
        after, gathered: as of ``Quantising``.
    """

    begun: Tensor

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
        super().__init__(encoder, after=after, gathered=gathered)
        self.decoder = Decoder(encoder.config)
        for part in [*encoder.modules(), *self.decoder.modules()]:
            if isinstance(part, (nn.Conv1d, nn.ConvTranspose1d)):
                weight_norm(part)
        self.distance = MelDistance(encoder.sample_rate)
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))
        self.weights = waveform, mel, commitment, decorrelation
        self.crop = encoder.sample_rate // encoder.hop * encoder.hop

    def forward(self, audio: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Crops (batch, samples) -> the loss, its parts, and how well the first codebook is used."""
        if self.training and not audio.is_meta and not self.begun:
            self._begin(audio)
        latents, lag = self.normalised(self.encoder.encoder(audio[:, None]).float())
        self.gather(latents, step)
        with exact(audio.device.type):
            quantised = self.quantise(latents, self.draw())
        reconstruction = self.decoder(quantised.values).float()
        with exact(audio.device.type):
            spectral = self.distance(reconstruction, audio.float())
        plain = (reconstruction - audio).abs().mean()
        alike = correlations(latents)
        parts = plain, spectral, quantised.commitment, alike
        loss = sum(weight * part for weight, part in zip(self.weights, parts, strict=True))
        logs = {
            "mel": spectral,
            "waveform": plain,
            "commitment": quantised.commitment,
            "correlations": alike,
            "perplexity": self.perplexity(quantised.codes),
            "revived": quantised.revived,
            "lag": lag,
        }
        return loss, logs

    def _begin(self, audio: Tensor) -> None:
        """Brings all layers to one level on a first batch that can be heard, and the decoder's last to the sounds'."""
        level = shared(audio.float().std())
        if not level > FAINTEST:
            return
        latents, _ = self.normalised(even_out(self.encoder.encoder, audio[:, None]).float())
        even_out(self.decoder, latents)
        louder(self.decoder.last, level)
        self.begun.fill_(True)

    @torch.no_grad()
    def error(self, latents: Tensor, sound: Tensor) -> float:
        return self.distance.apart(self.decoder(latents), sound)

    def log_mel(self, sound: Tensor) -> Tensor:
        return self.distance.log_mel(sound, SEEN_WINDOW)[0]

    @torch.no_grad()
    def decoded_log_mel(self, latents: Tensor) -> Tensor:
        return self.log_mel(self.decoder(latents))


def correlations(latents: Tensor) -> Tensor:
    """Normalised latents (batch, dim, frames) -> the sum of a dimension's squared correlations with others, a mean."""
    vectors = latents.transpose(1, 2).flatten(0, 1)
    products = vectors.T @ vectors / len(vectors)
    return (products - products.diagonal().diag()).square().sum() / len(products)


OBJECTIVES: dict[Front, Any] = {"waveform": CodecObjective, "mel-network": MelCodecObjective, "mel": Melrvq}


def keys(config: Config) -> dict[str, Key]:
    """The keys of a recipe's ``objective`` section."""
    return keywords(OBJECTIVES[config.front])


def build(encoder: Codec, **options: Any) -> CodecObjective | MelCodecObjective | Melrvq:
    """An objective from a recipe's ``objective`` section; what has no learnt encoder is fitted, not trained."""
    return OBJECTIVES[encoder.config.front](encoder, **options)
