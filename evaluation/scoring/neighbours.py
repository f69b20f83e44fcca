"""k nearest neighbours on frozen embeddings: the second opinion, which fits nothing but k."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .heads import Standard

NEIGHBOURS = (1, 3, 5, 10, 20)
Told = tuple[Tensor, Tensor]  # features (clips, dim), targets (clips, classes)


def choose(
    train: Told, valid: Told, test: Tensor, rate: Callable[[np.ndarray], float], balanced: bool
) -> tuple[np.ndarray, int]:
    """Votes for the test clips, (clips, classes), by the k that does best on the validation clips."""
    scores = {k: rate(votes) for k, votes in _votes(train, valid[0], balanced).items()}
    best = max(scores, key=scores.__getitem__)
    both = torch.cat([train[0], valid[0]]), torch.cat([train[1], valid[1]])
    return _votes(both, test, balanced)[best], best


def _votes(told: Told, asked: Tensor, balanced: bool) -> dict[int, np.ndarray]:
    """k -> the classes of the k clips nearest by cosine, each vote weighted by it: (clips, classes).

    ``balanced`` divides each class's votes by its clips, as befits mean recall.
    """
    features, targets = told
    standard = Standard.of(features)
    known, new = (torch.nn.functional.normalize(standard(x)) for x in (features, asked))
    if balanced:
        targets = targets / targets.sum(0).clamp(min=1)
    most = min(max(NEIGHBOURS), len(features))
    similar, places = (new @ known.T).topk(most)
    votes = (similar.clamp(min=0) + 1e-6)[:, :, None] * targets[places]
    sums = votes.cumsum(1)
    return {k: sums[:, min(k, most) - 1].numpy() for k in NEIGHBOURS}
