"""MSM-MAE's objective: paint in the masked patches of a log-mel from the visible quarter (section 3 of the paper).

The encoder sees visible patches only. A small decoder gets its output with a learnt token in every masked place, and is
charged the mean squared error over masked patches alone. Randomness comes from torch's generator of the device, or from
a given ``noise``, so that a run can be repeated and a published draw replayed.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.layers import Block, Linear, patchify, sincos_1d, sincos_2d
from hear_audioformer.msm_mae import Config, MsmMae

from ..precision import exact
from ..sections import Key, keywords
from . import Logs


@dataclass(frozen=True)
class Painted:
    """One pass of the autoencoder.

    Attributes:
        latent: encoder output on the visible patches, CLS first, (batch, visible (+ 1), width).
        prediction: (batch, patches, patch values).
        target: the same, from the input.
        mask: 1 where a patch was hidden, (batch, patches).
        restore: the place of each patch in the shuffled order, (batch, patches).
    """

    latent: Tensor
    prediction: Tensor
    target: Tensor
    mask: Tensor
    restore: Tensor


class MsmMaeObjective(nn.Module):
    """Decoder, masking and loss around an encoder.

    Args:
        encoder: the encoder to train; its weights are drawn anew as in the paper unless ``fresh`` is off.
        mask_ratio: share of patches that are hidden.
        width, depth, heads: of the decoder.
        table: its fixed positions: "1-D" over the flattened grid (the published models) or the encoder's "2-D" kind.
        norm_pix: whether every target patch is normalised to zero mean and unit variance.
    """

    readers = ("audio",)
    positions: Tensor

    def __init__(
        self,
        encoder: MsmMae,
        *,
        mask_ratio: float = 0.75,
        width: int = 384,
        depth: int = 4,
        heads: int = 6,
        table: Literal["1-D", "2-D"] = "1-D",
        norm_pix: bool = False,
        fresh: bool = True,
    ) -> None:
        super().__init__()
        rows, columns = encoder.config.grid
        self.encoder = encoder
        self.patches = rows * columns
        self.visible = int(self.patches * (1 - mask_ratio))  # truncated in floating point, as published
        if not 0 < self.visible < self.patches:
            raise ValueError(f"mask_ratio={mask_ratio} leaves {self.visible} of {self.patches} patches visible")
        self.norm_pix = norm_pix
        self.crop = encoder.window
        self.reduce = Linear(encoder.config.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, encoder.config.mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.predict = Linear(width, encoder.config.patch[0] * encoder.config.patch[1])
        positions = flat_table(self.patches, width) if table == "1-D" else sincos_2d(rows, columns, width).flatten(0, 1)
        self.register_buffer("positions", positions, persistent=False)
        if fresh:
            initialise(self)

    def forward(self, audio: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Crops (batch, samples) -> the loss, and nothing else worth a log."""
        with exact(audio.device.type):
            features = self.encoder.features(audio, 0, self.encoder.config.frames, self.encoder.clip_context(audio))
        return self.loss(self.paint(features)), {}

    def paint(self, features: Tensor, noise: Tensor | None = None) -> Painted:
        """Normalised windows (batch, frames, bands) -> the autoencoder's view of them."""
        tokens = self.encoder.tokens(features)
        noise = torch.rand(tokens.shape[:2], device=tokens.device) if noise is None else noise
        order = noise.argsort(dim=1)
        restore = order.argsort(dim=1)
        seen = tokens.gather(1, order[:, : self.visible, None].expand(-1, -1, tokens.shape[2]))
        latent = self.encoder.run(seen, [self.encoder.depth])[0]
        return Painted(
            latent=latent,
            prediction=self.decode(latent, restore),
            target=patchify(features, self.encoder.config.patch).flatten(1, 2),
            mask=(restore >= self.visible).float(),
            restore=restore,
        )

    def decode(self, latent: Tensor, restore: Tensor) -> Tensor:
        """Encoder output and the order it stands in -> values of all patches, (batch, patches, patch values).

        The CLS takes part at the zero position. Without one every token is a patch; the authors' code drops the first
        one there, which shifts all others to wrong places.
        """
        x = self.reduce(latent)
        first = 0 if self.encoder.cls is None else 1
        hidden = self.mask_token.expand(len(x), self.patches - self.visible, -1)
        patches = torch.cat([x[:, first:], hidden.to(x.dtype)], dim=1)
        patches = patches.gather(1, restore[:, :, None].expand(-1, -1, x.shape[2])) + self.positions
        x = torch.cat([x[:, :first].to(patches.dtype), patches], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.predict(self.norm(x))[:, first:]

    def loss(self, painted: Painted) -> Tensor:
        """Mean squared error over the masked patches of the whole batch, in float32."""
        target = painted.target.float()
        if self.norm_pix:
            variance, mean = torch.var_mean(target, dim=-1, keepdim=True)
            target = (target - mean) / (variance + 1e-6).sqrt()
        error = F.mse_loss(painted.prediction.float(), target, reduction="none").mean(-1)
        return (error * painted.mask).sum() / painted.mask.sum()

    def picture(self, painted: Painted) -> Tensor:
        """Visible patches as they are, masked ones as painted: (batch, frames, bands)."""
        hidden = painted.mask[..., None]
        values = painted.target * (1 - hidden) + painted.prediction * hidden
        rows, columns = self.encoder.config.grid
        ph, pw = self.encoder.config.patch
        return rearrange(values, "b (f t) (h w) -> b (t w) (f h)", f=rows, t=columns, h=ph, w=pw)

    @torch.no_grad()
    def panels(self, features: Tensor) -> dict[str, Tensor]:
        """What a figure shows of windows (batch, frames, bands), by title; the same mask each time."""
        torch.manual_seed(0)
        painted = self.paint(features)
        ph, pw = self.encoder.config.patch
        mask = painted.mask.unflatten(1, self.encoder.config.grid).repeat_interleave(ph, 1).repeat_interleave(pw, 2)
        seen = features.masked_fill(mask.mT.bool(), torch.nan)
        hidden = f"visible, {1 - self.visible / self.patches:.0%} masked"
        return {"input": features, hidden: seen, "masked patches as painted": self.picture(painted)}


def flat_table(positions: int, width: int) -> Tensor:
    """The published decoder's table: positions along the flattened grid, sines in even columns, cosines in odd ones."""
    table = sincos_1d(torch.arange(positions), width)
    return rearrange(table, "n (half d) -> n (d half)", half=2).float()


def initialise(module: nn.Module) -> None:
    """The paper's initial weights: Xavier-uniform matrices, zero biases, tokens from a narrow normal distribution.

    The patch embedding keeps the default bias of the convolution that it stands for.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if name.endswith("encoder.embed") or name == "embed":
                bound = part.in_features**-0.5
                nn.init.uniform_(part.bias, -bound, bound)
            else:
                nn.init.zeros_(part.bias)
    for name, parameter in module.named_parameters():
        if name.endswith(("cls", "mask_token")):
            nn.init.normal_(parameter, std=0.02)


def keys(config: Config) -> dict[str, Key]:
    """The keys of a recipe's ``objective`` section."""
    return keywords(MsmMaeObjective)


def build(encoder: MsmMae, **options: Any) -> MsmMaeObjective:
    """An objective from a recipe's ``objective`` section."""
    return MsmMaeObjective(encoder, **options)
