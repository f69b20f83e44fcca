"""Fine-tuning as AudioFormer's authors do it: a classifier on the first code sequence, with or without the contrast.

Li et al. (arXiv 2308.07221). FT1: one encoder reads codebook 1, the mean of all its output is classified. FT2 adds the
contrast of that mean against those of the other codebooks, which frozen encoders of pretraining give; at test time they
are gone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.audioformer import Audioformer
from hear_audioformer.language import pooled

from . import Logs
from .audioformer import FrozenViews
from .mpc import Anchors, joint, mpc


class CodeClassifier(nn.Module):
    """A multi-label classifier on the first code sequence.

    Args:
        encoder: pretrained; of its codebooks those after the first serve as frozen views.
        classes: how many there are.
        contrast: FT2 instead of FT1.
        masked: share of codes that are masked while training.
        alpha, temperature, anchors: the classification's share of the loss (published: 0.8, then 0.97) and the
            contrast's temperature (0.05, then 0.03) and rows.
    """

    def __init__(
        self,
        encoder: Audioformer,
        classes: int,
        *,
        contrast: bool = True,
        masked: float = 0.0,
        alpha: float = 0.8,
        temperature: float = 0.05,
        anchors: Anchors = "all",
    ) -> None:
        super().__init__()
        if contrast and encoder.config.sequences < 2:
            raise ValueError("FT2 needs an encoder of several code sequences; FT1 does with one")
        self.frozen = FrozenViews(encoder) if contrast else None
        self.encoder = encoder
        encoder.codec.requires_grad_(False)
        self.classifier = nn.Linear(encoder.config.width, classes)
        self.masked = masked
        self.alpha, self.temperature, self.anchors = alpha, temperature, anchors

    def vectors(self, codes: Tensor) -> Tensor:
        """Codes (batch, frames, codebooks) -> what is classified, (batch, width): the mean, first and last included."""
        hidden = None
        if self.training and self.masked:
            hidden = torch.rand(codes.shape[:2], device=codes.device) < self.masked
        return pooled(self.encoder.read(codes, 0, hidden)[-1])

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (batch, frames, codebooks) -> logits (batch, classes)."""
        return self.classifier(self.vectors(codes))

    def loss(self, codes: Tensor, targets: Tensor) -> tuple[Tensor, Logs]:
        """Codes and labels (batch, classes) -> the loss and its parts."""
        mine = self.vectors(codes)
        plain = F.binary_cross_entropy_with_logits(self.classifier(mine).float(), targets.float())
        if self.frozen is None:
            return plain, {"classification": plain}
        sequences = self.encoder.config.sequences
        views = [mine, *self.frozen(codes, range(1, sequences))]
        clip = torch.arange(len(codes), device=codes.device).repeat(sequences)
        view = torch.arange(sequences, device=codes.device).repeat_interleave(len(codes))
        vectors = torch.cat([one.float() for one in views])
        contrast = mpc(vectors, clip, view, temperature=self.temperature, anchors=self.anchors)
        return joint(plain, contrast, self.alpha), {"classification": plain, "contrast": contrast}
