"""A neural codec over log-mel values: give them back through a residual quantiser that may stop after any codebook.

Log-mel values need a hundredth of the work of waveforms, and a processor can train this to its end. Its first codebook
may also learn to tell what a pretrained model says of the sound, as that of SpeechTokenizer does with a speech model
(arXiv 2308.16692): codes that are nearer to the sound are not by themselves nearer to what it means.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import hear_audioformer
from hear_audioformer.codec import Codec
from hear_audioformer.codec.mel import CENTRE, SPREAD, MelNetwork, Neighbours, scaled
from hear_audioformer.model import Model

from ..codec.quantising import Quantising
from ..precision import exact
from . import Logs

SECONDS = 2  # of a crop


class MelDecoder(nn.Module):
    """The network's mirror image, (batch, latent, frames) -> scaled log-mel values (batch, frames, bands)."""

    def __init__(self, bands: int, width: int, dilations: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.first = nn.Linear(latent, width)
        self.blocks = nn.ModuleList(Neighbours(width, dilation) for dilation in reversed(dilations))
        self.last = nn.Linear(width, bands)

    def forward(self, x: Tensor) -> Tensor:
        states = self.first(x.mT)
        for block in self.blocks:
            dilation: int = block.dilation  # type: ignore[assignment]
            states = block(F.pad(states, (0, 0, dilation, dilation)))
        return self.last(F.gelu(states))


class MelCodecObjective(Quantising):
    """Decoder and losses around a codec on log-mel values.

    Args:
        encoder: the codec to train.
        commitment: weight of how far latents lie from what stands for them; that of log-mel values is 1.
        teacher: a model whose frames the first codebook learns to tell, by name or file; "" for none.
        meaning: weight of that, which is one less the cosine, of frames less their mean over the batch.
        taught: crops of a batch that the teacher hears.
        after, gathered: as of ``Quantising``.
    """

    def __init__(
        self,
        encoder: Codec,
        *,
        commitment: float = 0.1,
        teacher: str = "",
        meaning: float = 1.0,
        taught: int = 8,
        after: int = 300,
        gathered: int = 30_000,
    ) -> None:
        super().__init__(encoder, after=after, gathered=gathered)
        config = encoder.config
        self.decoder = MelDecoder(config.bands, config.filters, config.dilations, config.latent)
        self.commitment, self.meaning, self.taught = commitment, meaning, taught
        self.crop = SECONDS * encoder.sample_rate // encoder.hop * encoder.hop
        self._teacher: list[Model] = []  # in a list, so that its weights are not the run's
        self.teaches: nn.Linear | None = None
        if teacher:
            with torch.device("cpu"):  # also where costs are counted without weights
                self._teacher.append(hear_audioformer.load_model(teacher))
            if self._teacher[0].sample_rate != encoder.sample_rate:
                raise ValueError(f"objective.teacher={teacher}: takes another sample rate than the codec")
            self.teaches = nn.Linear(config.latent, self._teacher[0].timestamp_embedding_size)

    @property
    def mel(self) -> MelNetwork:
        made = self.encoder.encoder
        assert isinstance(made, MelNetwork)
        return made

    def forward(self, audio: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Crops (batch, samples) -> the loss, its parts, and how well the first codebook is used."""
        with exact(audio.device.type), torch.no_grad():
            values = scaled(self.mel.log_mel(audio.float()))
        latents, lag = self.normalised(self.mel.network(values).float())
        self.gather(latents, step)
        with exact(audio.device.type):
            quantised = self.quantise(latents, self.draw())
        difference = (self.decoder(quantised.values).float() - self.clip(values)) * SPREAD
        absolute, squared = difference.abs().mean(), difference.square().mean()
        loss = absolute + squared + self.commitment * quantised.commitment
        logs = {
            "mel": absolute,
            "commitment": quantised.commitment,
            "perplexity": self.perplexity(quantised.codes),
            "revived": quantised.revived,
            "lag": lag,
        }
        if self.teaches is not None and not audio.is_meta:
            logs["meaning"] = self.untold(audio[: self.taught], latents[: self.taught])
            loss = loss + self.meaning * logs["meaning"]
        return loss, logs

    def clip(self, values: Tensor) -> Tensor:
        """Of log-mel values with what surrounds a clip, those of the clip itself, (batch, frames, bands)."""
        return values[:, self.mel.around : values.shape[1] - self.mel.around]

    def untold(self, audio: Tensor, latents: Tensor) -> Tensor:
        """How much of the teacher's frames the first codebook does not tell, from 0 to 2."""
        assert self.teaches is not None
        model = self._teacher[0].to(audio.device)
        step, frames = max(1, round(model.hop_ms / self.hop_ms)), latents.shape[2]
        times = self.hop_ms * (torch.arange(frames // step, device=audio.device) * step + step / 2)
        wanted = model.frames_at(audio.float(), times)
        wanted = F.layer_norm(wanted - wanted.mean((0, 1)), wanted.shape[-1:])
        first = latents
        if self.ready:
            vectors = latents.mT
            codebook = self.encoder.quantizer.codebooks[0]
            first = latents + (codebook(codebook.nearest(vectors.detach())).mT - latents).detach()
        told = self.teaches(F.avg_pool1d(first, step, step).mT).float()
        return 1 - F.cosine_similarity(told, wanted, dim=-1).mean()

    @property
    def hop_ms(self) -> float:
        """Of the codes."""
        return 1000 * self.encoder.hop / self.encoder.sample_rate

    def log_mel(self, sound: Tensor) -> Tensor:
        return self.clip(self.mel.log_mel(sound))[0]

    @torch.no_grad()
    def decoded_log_mel(self, latents: Tensor) -> Tensor:
        return self.decoder(latents)[0] * SPREAD + CENTRE

    def error(self, latents: Tensor, sound: Tensor) -> float:
        return float((self.decoded_log_mel(latents) - self.log_mel(sound)).abs().mean())
