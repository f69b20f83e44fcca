"""Fine-tuning as AudioFormer's authors do it: one code sequence is classified, and drawn to the others of its clip.

Li et al. (arXiv 2308.07221). FT1 is ``Classifier`` on a model that reads codebook 1 alone. FT2 adds the contrast of its
vectors against those of the other codebooks, which frozen encoders of pretraining give; once trained, they are gone,
and a clip costs what it costs after FT1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hear_audioformer.audioformer import Audioformer
from hear_audioformer.embedder import Encoder

from ..data.labelled_clips import Batch
from ..precision import exact
from . import Logs
from .audioformer import FrozenViews
from .classify import Classifier
from .mpc import Anchors, joint, mpc


@dataclass(frozen=True)
class Contrast:
    """The section ``contrast`` of a recipe.

    Attributes:
        views: code sequences of a clip, the classified one included.
        alpha: the classification's share of the loss; published: 0.8, then 0.97.
        temperature, anchors: of the contrast; published: 0.05, then 0.03.
    """

    views: int = 3
    alpha: float = 0.8
    temperature: float = 0.05
    anchors: Anchors = "all"


class ContrastClassifier(Classifier):
    """A classifier of the first code sequence with frozen views of the others.

    Args:
        encoder: reads one codebook, the first, and has been pretrained on as many as there are views.
        contrast: what the recipe says of it.
        rest: as of ``Classifier``.
    """

    def __init__(self, encoder: Encoder, *rest: Any, contrast: Contrast, **options: Any) -> None:
        if not isinstance(encoder, Audioformer):
            raise ValueError("contrast is AudioFormer's: set contrast=null")
        config = encoder.config
        if config.layout == "summed" or not 1 < contrast.views <= config.trained:
            raise ValueError(
                f"contrast.views={contrast.views}: this model was trained on {config.trained} code sequences, "
                f"layout {config.layout}; the contrast needs two of them or more"
            )
        if config.codebooks != 1:
            raise ValueError("the contrast is of a model that reads one codebook: set options.codebooks=1")
        super().__init__(encoder, *rest, **options)
        self.frozen = FrozenViews(encoder)
        self.frozen.encoder.config = replace(config, codebooks=contrast.views)
        self.contrast = contrast

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, Logs]:
        """A batch -> both losses as one, and each by itself."""
        vectors = self.vectors(batch.audio, batch.lengths)
        plain, logs = self.judge(vectors, batch.targets)
        contrast, views = self.contrast, [vectors, *self.views(batch.audio, batch.lengths).to(vectors)]
        clip = torch.arange(len(vectors), device=vectors.device).repeat(contrast.views)
        view = torch.arange(contrast.views, device=vectors.device).repeat_interleave(len(vectors))
        contrast_loss = mpc(torch.cat(views), clip, view, temperature=contrast.temperature, anchors=contrast.anchors)
        return joint(plain, contrast_loss, contrast.alpha), {**logs, "classification": plain, "contrast": contrast_loss}

    @torch.no_grad()
    def views(self, audio: Tensor, lengths: Sequence[int]) -> Tensor:
        """Clips (clips, samples) of these lengths -> vectors of the other sequences, (views - 1, clips, width)."""
        encoder, count = self.frozen.encoder, self.contrast.views
        others = torch.zeros(count - 1, len(audio), encoder.config.width, device=audio.device)
        for length in sorted(set(lengths)):
            rows = [row for row, samples in enumerate(lengths) if samples == length]
            with exact(audio.device.type):
                codes = encoder.clip_context(audio[rows, :length])
            assert codes is not None
            seen = codes[:, : encoder.config.window].long()
            others[:, rows] = torch.stack(self.frozen(seen, range(1, count))).float()
        return others
