"""Supervised classification on top of any encoder: fine-tuning, and training from random weights.

A clip of any length becomes one vector exactly as ``Embedder`` makes it at inference: cut into windows, each at its own
length, frames pooled over time. So the encoder that comes out is a model like any other, and the head that was trained
beside it takes its scene embeddings.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.windows import Blend, Window

from .. import layer_decay
from ..data.labelled import Batch
from ..data.specaugment import SpecAugment
from ..precision import exact
from . import Logs

Mode = Literal["full", "frozen", "layer-decay"]
Loss = Literal["ce", "bce"]
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
        mask: what is hidden of spectrograms, or of codes, in training.
    """

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
        mask: SpecAugment | None = None,
    ) -> None:
        super().__init__()
        for name, value, kinds in (("loss", loss, Loss), ("mode", mode, Mode)):
            if value not in get_args(kinds):
                raise ValueError(f"{name}={value}: choose one of {', '.join(get_args(kinds))}")
        if not 0 < decay <= 1:
            raise ValueError(f"decay={decay}: the rate of a layer as a share of the next one's, above 0 and up to 1")
        self.encoder, self.crop, self.classes = encoder, crop, classes
        self.loss, self.mode, self.decay, self.head_lr = loss, mode, decay, head_lr
        self.mask = mask or SpecAugment()
        self.pool = pool or encoder.pool
        self.head = Head(Embedder(encoder, pool=self.pool).scene_embedding_size, classes)
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
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.mode != "frozen"):
            vectors = self.vectors(batch.audio, batch.lengths)
        return self.judge(vectors, batch.targets)

    def judge(self, vectors: Tensor, targets: Tensor) -> tuple[Tensor, Logs]:
        """Scene embeddings (clips, width) -> the loss of what the head makes of them, and what is known beside it."""
        logits = self.head(vectors).float()
        if self.loss == "bce":
            return F.binary_cross_entropy_with_logits(logits, targets), {}
        right = logits.argmax(1) == targets.argmax(1)
        return F.cross_entropy(logits, targets), {"accuracy": right.float().mean()}

    def vectors(self, audio: Tensor, lengths: Sequence[int]) -> Tensor:
        """Clips (clips, samples) of these lengths -> the scene embeddings that the Embedder gives, with gradients."""
        geometry = self.encoder.geometry
        waiting: dict[int, list[tuple[Tensor, Window, Tensor]]] = {}  # windows of one length share a forward
        counts = torch.zeros(len(audio), 1, dtype=torch.float64)
        blend = Blend()
        for length in sorted(set(lengths)):
            rows = [row for row, mine in enumerate(lengths) if mine == length]
            features = self.features(audio[rows, :length])
            grid = geometry.native(features.shape[1])
            counts[rows] = grid.count
            for window in geometry.windows(grid):
                width = geometry.patch * (geometry.columns if self.encoder.pad_short else window.columns)
                part = features[:, window.start : window.start + window.columns * geometry.patch]
                after = (0, 0) * (part.ndim - 2) + (0, width - part.shape[1])
                part = F.pad(part, after, value=self.encoder.silence)
                waiting.setdefault(width, []).append((torch.tensor(rows), window, part))
        sums: Tensor | float = 0.0
        for queue in waiting.values():
            features = torch.cat([part for _, _, part in queue])
            [frames] = self.encoder.pooled_layers(features, [self.encoder.depth], self.pool).double()
            for (clips, window, _), mine in zip(queue, frames.split([len(p) for _, _, p in queue]), strict=True):
                kept = mine[:, : window.columns]
                if geometry.stride:
                    kept = blend.add(slice(int(clips[0]), 0), window, kept)[2]
                both = torch.stack([kept.sum(1), kept.square().sum(1)])
                sums = sums + both.new_zeros(2, len(audio), both.shape[2]).index_add(1, clips.to(both.device), both)
        assert isinstance(sums, Tensor)
        mean, square = sums / counts.to(sums.device)
        if self.pool != "mean+std":
            return mean.float()
        return torch.cat([mean, (square - mean.square()).clamp(min=FLAT).sqrt()], dim=1).float()

    def features(self, audio: Tensor) -> Tensor:
        """Clips of one length -> their features, partly hidden in training; they have nothing to learn.

        In float32 under autocast too, as at inference.
        """
        with torch.no_grad(), exact(audio.device.type):
            known = self.encoder.statistics(audio)
            features = self.encoder.features(audio, 0, self.encoder.count(audio.shape[1]), known)
            return self.mask(features) if self.training else features
