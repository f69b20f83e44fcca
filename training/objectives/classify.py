"""Supervised classification on top of any encoder: fine-tuning, and training from random weights.

A clip of any length becomes one vector exactly as ``Embedder`` makes it at inference: cut into windows, each at its own
length, frames pooled over time. So the encoder that comes out is a model like any other, and the head that was trained
beside it takes its scene embeddings.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.windows import Blend, Window

from .. import layer_decay
from ..data.labelled_clips import Batch
from ..data.specaugment import SpecAugment
from ..precision import exact
from . import Logs

Mode = Literal["full", "frozen", "layer-decay"]
Loss = Literal["ce", "bce"]
Waiting = dict[int, list[tuple[Tensor, Window, Tensor]]]  # width -> rows of clips, the window, its features
FLAT = 1e-12  # of a variance: below, its root has no slope


class Head(nn.Module):
    """Scene embeddings (clips, width) -> logits (clips, classes)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.linear(self.norm(vectors))


def drop_branches(encoder: Encoder, share: float) -> None:
    """Stochastic depth: the last block leaves its branches out for this share of the clips, earlier ones less often."""
    blocks: list[Any] = list(encoder.blocks)  # type: ignore[arg-type]
    if not all(hasattr(block, "drop") for block in blocks):
        raise ValueError(f"drop_path={share}: the blocks of {type(encoder).__name__} have none; set drop_path=0")
    for number, block in enumerate(blocks):
        block.drop = share * number / max(1, len(blocks) - 1)


class Classifier(nn.Module):
    """An encoder, a head and a loss.

    Args:
        encoder: any.
        classes: number of labels.
        crop: the most samples that a clip has in training; for the count of FLOPs.
        loss: "ce" (cross entropy) for one label a clip, "bce" (binary cross entropy of each class) for any number.
        mode: "full" trains everything at one rate, "frozen" the head alone, "layer-decay" the encoder's layers the
            slower the earlier they are.
        decay: of the rate from layer to layer.
        head_lr: factor on the head's rate, which starts from nothing.
        pool: how frames become a vector; by default the encoder's own way.
        layers: whose frames those are; by default the encoder's own choice, as of the Embedder.
        drop_path: share of the clips that skip a branch of the last block in training, growing from 0 at the first.
        smoothing: share of the target that cross entropy spreads over all classes; binary cross entropy spreads none.
        mask: what is hidden of spectrograms, or of codes, in training.
    """

    readers = ("labelled",)

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        crop: int,
        *,
        loss: Loss = "ce",
        mode: Mode = "full",
        decay: float = 0.75,
        head_lr: float = 1.0,
        pool: str | None = None,
        layers: Sequence[int] | None = None,
        drop_path: float = 0.0,
        smoothing: float = 0.0,
        mask: SpecAugment | None = None,
    ) -> None:
        super().__init__()
        for name, value, kinds in (("loss", loss, Loss), ("mode", mode, Mode)):
            if value not in get_args(kinds):
                raise ValueError(f"{name}={value}: choose one of {', '.join(get_args(kinds))}")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing={smoothing}: must be at least 0 and less than 1")
        if not 0 < decay <= 1:
            raise ValueError(f"decay={decay}: the rate of a layer as a share of the next one's, above 0 and up to 1")
        self.encoder, self.crop, self.classes = encoder, crop, classes
        self.loss, self.mode, self.decay, self.head_lr = loss, mode, decay, head_lr
        self.smoothing, self.mask = smoothing, mask or SpecAugment()
        embedder = Embedder(encoder, pool=pool, layers=layers)
        self.pool, self.layers = embedder.pool, embedder.layers
        self.head = Head(embedder.scene_embedding_size, classes)
        if drop_path:
            drop_branches(encoder, drop_path)
        self.encoder.requires_grad_(mode != "frozen")
        self.train()

    def train(self, mode: bool = True) -> "Classifier":
        """A frozen encoder stays as it is used."""
        super().train(mode)
        if self.mode == "frozen":
            self.encoder.eval()
        return self

    def lr_scales(self) -> dict[str, float]:
        """Factors on the learning rate by name of parameter."""
        told = {f"head.{name}": self.head_lr for name, _ in self.head.named_parameters()}
        if self.mode == "layer-decay":
            told |= {f"encoder.{name}": scale for name, scale in layer_decay.scales(self.encoder, self.decay).items()}
        return told

    def example(self, clips: int) -> Batch:
        """A batch of no content, to count FLOPs by."""
        audio = torch.zeros(clips, self.crop, device="meta")
        return Batch(audio, [self.crop] * clips, torch.zeros(clips, self.classes, device="meta"))

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, Logs]:
        """A batch -> the loss, and with one label a clip the share of clips whose likeliest class is the likeliest."""
        return self.judge(self.vectors(batch.audio, batch.lengths), batch.targets)

    def judge(self, vectors: Tensor, targets: Tensor) -> tuple[Tensor, Logs]:
        """Scene embeddings (clips, width) -> the loss of what the head makes of them, and what is known beside it."""
        logits = self.head(vectors).float()
        if self.loss == "bce":
            return F.binary_cross_entropy_with_logits(logits, targets), {}
        right = logits.argmax(1) == targets.argmax(1)
        return F.cross_entropy(logits, targets, label_smoothing=self.smoothing), {"accuracy": right.float().mean()}

    def logits(self, audio: Tensor, lengths: Sequence[int]) -> Tensor:
        """Clips (clips, samples) of these lengths -> (clips, classes), float32."""
        return self.head(self.vectors(audio, lengths)).float()

    def vectors(self, audio: Tensor, lengths: Sequence[int]) -> Tensor:
        """Clips (clips, samples) of these lengths -> the scene embeddings that the Embedder gives.

        With gradients, unless the encoder is frozen.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.mode != "frozen"):
            sums, counts = self._sums(self._cut(audio, lengths), len(audio))
            mean, square = sums / counts
            if self.pool != "mean+std":
                return mean.float()
            return torch.cat([mean, (square - mean.square()).clamp(min=FLAT).sqrt()], dim=1).float()

    def _cut(self, audio: Tensor, lengths: Sequence[int]) -> Waiting:
        """The windows of all clips by their width: those of one width share a forward."""
        geometry = self.encoder.geometry
        waiting: Waiting = {}
        for length in sorted(set(lengths)):
            rows = [row for row, mine in enumerate(lengths) if mine == length]
            features = self.features(audio[rows, :length])
            for window in geometry.windows(geometry.native(features.shape[1])):
                width = geometry.patch * (geometry.columns if self.encoder.pad_short else window.columns)
                part = features[:, window.start : window.start + window.columns * geometry.patch]
                after = (0, 0) * (part.ndim - 2) + (0, width - part.shape[1])
                part = F.pad(part, after, value=self.encoder.silence)
                waiting.setdefault(width, []).append((torch.tensor(rows), window, part))
        return waiting

    def _sums(self, waiting: Waiting, clips: int) -> tuple[Tensor, Tensor]:
        """Sums of the frames and of their squares, (2, clips, dim), and how many they are, (clips, 1)."""
        sums: Tensor | float = 0.0
        counts = torch.zeros(clips, 1, dtype=torch.float64)
        blend = Blend()
        for queue in waiting.values():
            features = torch.cat([part for _, _, part in queue])
            frames = torch.cat(list(self.encoder.pooled_layers(features, self.layers, self.pool)), dim=-1).double()
            for (rows, window, _), mine in zip(queue, frames.split([len(p) for _, _, p in queue]), strict=True):
                kept = mine[:, : window.columns]
                if self.encoder.geometry.stride:
                    kept = blend.add(slice(int(rows[0]), 0), window, kept)[2]
                both = torch.stack([kept.sum(1), kept.square().sum(1)])
                sums = sums + both.new_zeros(2, clips, both.shape[2]).index_add(1, rows.to(both.device), both)
                counts[rows] += kept.shape[1]
        assert isinstance(sums, Tensor)
        return sums, counts.to(sums.device)

    def features(self, audio: Tensor) -> Tensor:
        """Clips of one length -> their features, partly hidden in training; they have nothing to learn.

        In float32 under autocast too, as at inference.
        """
        with torch.no_grad(), exact(audio.device.type):
            known = self.encoder.statistics(audio)
            features = self.encoder.features(audio, 0, self.encoder.count(audio.shape[1]), known)
            return self.mask(features) if self.training else features
