"""MAST's objective: which of many classes are heard, by binary cross entropy of each. AST learns by the same.

The class layer stands on the mean of the last stage's tokens, as in the paper, though an embedding has all stages.
"""

import math
from typing import Any

from torch import nn

from hear_audioformer.embedder import Encoder
from hear_audioformer.mast.positions import RelativePositions

from ..data.specaugment import SpecAugment
from ..sections import Key, keywords
from .classify import Classifier


def initialise(encoder: nn.Module) -> None:
    """The weights that vision transformers begin with: narrow truncated normal matrices and tables, zero biases.

    Tokens, norms and convolutions keep what their layers begin with.
    """
    for part in encoder.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
        elif isinstance(part, RelativePositions):
            nn.init.trunc_normal_(part.frequency, std=0.02)
            nn.init.trunc_normal_(part.time, std=0.02)


def keys(config: Any) -> dict[str, Key]:
    """The keys of a recipe's ``objective`` section."""
    return keywords(build, Classifier, without=("loss", "mask", "layers"))


def build(
    encoder: Encoder,
    *,
    classes: int,
    seconds: float,
    prior: float = 0.5,
    specaugment: SpecAugment | None = None,
    **options: Any,
) -> Classifier:
    """An objective from a recipe's ``objective`` section.

    Args:
        classes: of the labelled set.
        seconds: of a crop.
        prior: share of the clips that a class is expected in at first.
        specaugment: what is hidden of spectrograms.
        options: as of ``Classifier``.
    """
    initialise(encoder)
    crop = round(seconds * encoder.sample_rate)
    objective = Classifier(encoder, classes, crop, loss="bce", mask=specaugment, layers=[-1], **options)
    nn.init.constant_(objective.head.linear.bias, math.log(prior / (1 - prior)))
    return objective
