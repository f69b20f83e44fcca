"""Labels as targets to learn from and to score by."""

from collections.abc import Sequence

import torch
from torch import Tensor


def many_hot(labels: Sequence[Sequence[int]], classes: int) -> Tensor:
    """Numbers of the labels of each clip -> targets (clips, classes), 1 where a clip has a label."""
    targets = torch.zeros(len(labels), classes)
    for row, numbers in enumerate(labels):
        targets[row, list(numbers)] = 1
    return targets
