"""A second stage with labels, for any method: which of many classes are heard, by binary cross entropy of each.

MAST begins with this; here an encoder goes on from what it learnt without labels.
"""

import math
from typing import Any

from torch import nn

from hear_audioformer.encoder import Encoder

from ..data.specaugment import SpecAugment
from ..sections import Key, keywords
from .classify import Classifier


def keys(config: Any) -> dict[str, Key]:
    """The keys of a recipe's ``objective`` section."""
    return keywords(build, Classifier, without=("loss", "mask"))


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
    crop = round(seconds * encoder.sample_rate)
    objective = Classifier(encoder, classes, crop, loss="bce", mask=specaugment, **options)
    nn.init.constant_(objective.head.linear.bias, math.log(prior / (1 - prior)))
    return objective
