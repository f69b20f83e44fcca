"""k nearest neighbours on frozen embeddings: a second measure that fits only k."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .heads import Standardiser

NEIGHBOURS = (1, 3, 5, 10, 20)
Labelled = tuple[Tensor, Tensor]  # features (clips, dim), targets (clips, classes)


def choose(
    train: Labelled, valid: Labelled, test: Tensor, score_of: Callable[[np.ndarray], float], balanced: bool
) -> tuple[np.ndarray, int]:
    """Votes for the test clips, (clips, classes), and the k with the best validation score."""
    scores = {k: score_of(votes) for k, votes in _votes(train, valid[0], balanced).items()}
    best = max(scores, key=scores.__getitem__)
    both = torch.cat([train[0], valid[0]]), torch.cat([train[1], valid[1]])
    return _votes(both, test, balanced)[best], best


def _votes(labelled: Labelled, queries: Tensor, balanced: bool) -> dict[int, np.ndarray]:
    """k -> the votes of the k nearest clips, weighted by cosine similarity: (clips, classes).

    ``balanced`` divides the votes of a class by its number of clips, as mean recall does.
    """
    features, targets = labelled
    standard = Standardiser.of(features)
    reference, normalised_queries = (torch.nn.functional.normalize(standard(x)) for x in (features, queries))
    if balanced:
        targets = targets / targets.sum(0).clamp(min=1)
    most = min(max(NEIGHBOURS), len(features))
    similar, places = (normalised_queries @ reference.T).topk(most)
    votes = (similar.clamp(min=0) + 1e-6)[:, :, None] * targets[places]
    sums = votes.cumsum(1)
    return {k: sums[:, min(k, most) - 1].numpy() for k in NEIGHBOURS}
