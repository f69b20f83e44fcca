"""Supervised classification on top of any encoder: fine-tuning, and training from random weights.

A clip of any length becomes the scene embedding that ``Embedder`` gives at inference: the same ``WindowedEncoder`` cuts
it and pools its frames. So the trained encoder is a model like any other, and the trained head takes its embeddings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.embedder import Embedder
from hear_audioformer.encoder import ClipContext, Encoder
from hear_audioformer.layers import ResidualBlock, set_drop_path
from hear_audioformer.windowed import WindowedEncoder

from .. import layer_decay
from ..data.labelled_clips import Batch
from ..data.specaugment import SpecAugment
from ..precision import exact
from . import Logs

Mode = Literal["full", "frozen", "layer-decay"]
Loss = Literal["ce", "bce"]
VARIANCE_FLOOR = 1e-12  # below, a standard deviation has no finite slope


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


@dataclass(frozen=True)
class MaskedFrontEnd:
    """The front end of an encoder, without gradients and in float32 under autocast too, as at inference.

    Attributes:
        mask: what is hidden of the features.
    """

    encoder: Encoder
    mask: Callable[[Tensor], Tensor]

    def count(self, samples: int) -> int:
        return self.encoder.count(samples)

    def clip_context(self, audio: Tensor) -> ClipContext:
        with torch.no_grad(), exact(audio.device.type):
            return self.encoder.clip_context(audio)

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        with torch.no_grad(), exact(audio.device.type):
            return self.mask(self.encoder.features(audio, start, stop, clip_context))


class Classifier(nn.Module):
    """An encoder, a head and a loss.

    Args:
        encoder: any.
        classes: number of labels.
        crop: the most samples that a clip has in training; for the count of FLOPs.
        loss: "ce" (cross entropy) for one label a clip, "bce" (binary cross entropy of each class) for any number.
        mode: "full" trains everything at one learning rate, "frozen" trains the head alone, "layer-decay" trains
            earlier layers at lower rates.
        decay: factor on the learning rate from a layer to the one before it.
        head_lr: factor on the learning rate of the head, which starts at zero.
        pool: how frames become a vector; by default the encoder's own way.
        layers: the layers that make a frame; by default the encoder's own.
        drop_path: share of the clips for which the last block drops its branches in training; 0 at the first block.
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
        self.pooled_dim = embedder.pooled_dim
        self.head = Head(embedder.scene_embedding_size, classes)
        if drop_path:
            if not all(isinstance(block, ResidualBlock) for block in encoder.blocks):
                name = type(encoder).__name__
                raise ValueError(f"drop_path={drop_path}: the blocks of {name} have none; set drop_path=0")
            set_drop_path(encoder.blocks, drop_path)
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
        scales = {f"head.{name}": self.head_lr for name, _ in self.head.named_parameters()}
        if self.mode == "layer-decay":
            scales |= {f"encoder.{name}": scale for name, scale in layer_decay.scales(self.encoder, self.decay).items()}
        return scales

    def example(self, clips: int) -> Batch:
        """A batch of no content, to count FLOPs by."""
        audio = torch.zeros(clips, self.crop, device="meta")
        return Batch(audio, [self.crop] * clips, torch.zeros(clips, self.classes, device="meta"))

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, Logs]:
        """A batch -> the loss, and with one label a clip the accuracy."""
        return self.judge(self.vectors(batch.audio, batch.lengths), batch.targets)

    def judge(self, vectors: Tensor, targets: Tensor) -> tuple[Tensor, Logs]:
        """Scene embeddings (clips, width) -> the loss of the head's logits, and the accuracy where there is one."""
        logits = self.head(vectors).float()
        if self.loss == "bce":
            return F.binary_cross_entropy_with_logits(logits, targets), {}
        correct = logits.argmax(1) == targets.argmax(1)
        return F.cross_entropy(logits, targets, label_smoothing=self.smoothing), {"accuracy": correct.float().mean()}

    def logits(self, audio: Tensor, lengths: Sequence[int]) -> Tensor:
        """Clips (clips, samples) of these lengths -> (clips, classes), float32."""
        return self.head(self.vectors(audio, lengths)).float()

    def vectors(self, audio: Tensor, lengths: Sequence[int]) -> Tensor:
        """Clips (clips, samples) of these lengths -> the scene embeddings that the Embedder gives.

        With gradients, unless the encoder is frozen. All windows of one length share a forward.
        """
        order = sorted(range(len(lengths)), key=lambda row: lengths[row])
        groups = [audio[list(rows), :length] for length, rows in groupby(order, key=lambda row: lengths[row])]
        windowed = WindowedEncoder(self.encoder, self.front_end(), self._encode)
        std = self.pool == "mean+std"
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.mode != "frozen"):
            vectors = windowed.scenes(groups, self.pooled_dim, std=std, variance_floor=VARIANCE_FLOOR)
            return vectors[torch.tensor(order, device=vectors.device).argsort()]

    def front_end(self) -> MaskedFrontEnd:
        """Waveform to features, partly hidden in training."""
        return MaskedFrontEnd(self.encoder, self.mask if self.training else lambda features: features)

    def _encode(self, features: Tensor) -> Tensor:
        layers = self.encoder.pooled_layers(features, self.layers, self.pool)
        return torch.cat(list(layers), dim=-1).double()
