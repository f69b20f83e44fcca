"""MAST's objective: which of many classes are heard, by binary cross entropy of each. AST learns by the same.

The class layer stands on the mean of the last stage's tokens, as in the paper, though an embedding has all stages.
"""

from typing import Any

from torch import nn

from hear_audioformer.embedder import Encoder
from hear_audioformer.mast.positions import RelativePositions

from ..sections import Key
from . import labels
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
    return {name: key for name, key in labels.keys(config).items() if name != "layers"}


def build(encoder: Encoder, **options: Any) -> Classifier:
    """An objective from a recipe's ``objective`` section; ``options`` are those of ``labels.build``."""
    initialise(encoder)
    return labels.build(encoder, layers=[-1], **options)
