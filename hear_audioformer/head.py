"""A linear head on few examples: multinomial logistic regression, its strength chosen by cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4)  # of the penalty on squared weights; features have a length around one
MIDDLE = 1e-2  # where there are too few examples to choose
FOLDS, INNER_FOLDS = 5, 3
STEPS = 50
STEEP = 1e-4  # gradient, below which a fit has ended


@dataclass(frozen=True)
class Head:
    """Features -> probabilities of classes.

    Attributes:
        weight: (dim, classes).
        bias: (classes,).
        strength: of the penalty that it was fitted with.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Probabilities: (rows, classes), float32."""
        logits = features @ self.weight + self.bias
        values = np.exp(logits - logits.max(1, keepdims=True))
        return values / values.sum(1, keepdims=True)


def fit(features: np.ndarray, labels: np.ndarray, classes: int, strengths: Sequence[float]) -> list[Head]:
    """A head for each strength of the penalty, the strongest first; each fit begins where the last one ended."""
    axes = None
    if len(features) < features.shape[1]:  # the weights lie in the span of the examples
        axes = np.linalg.qr(features.T)[0]
        features = features @ axes
    x, y = torch.from_numpy(features).float(), torch.from_numpy(labels).long()
    weight, bias = torch.zeros(x.shape[1], classes), torch.zeros(classes)
    heads = []
    for strength in sorted(strengths, reverse=True):
        weight, bias = _minimum(x, y, weight, bias, strength)
        full = weight.numpy() if axes is None else axes @ weight.numpy()
        heads.append(Head(full.astype(np.float32), bias.numpy().copy(), strength))
    return heads


def _minimum(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """The weights with the least cross entropy and penalty."""
    weight, bias = (start.clone().requires_grad_() for start in (weight, bias))
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=STEPS, tolerance_grad=STEEP, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight + bias, y) + strength / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()


def chosen(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, seed: int = 0) -> Head:
    """A head of the strength with the least cross entropy in cross-validation."""
    folds = folds_of(labels, groups, INNER_FOLDS, seed)
    strengths: Sequence[float] = STRENGTHS
    if folds is None:
        strengths = (MIDDLE,)
    else:
        losses = np.zeros(len(STRENGTHS))
        for fold in range(folds.max() + 1):
            out = folds == fold
            for place, head in enumerate(fit(features[~out], labels[~out], classes, STRENGTHS)):
                right = head(features[out])[np.arange(out.sum()), labels[out]]
                losses[place] -= np.log(np.maximum(right, 1e-9)).sum()
        strengths = (sorted(STRENGTHS, reverse=True)[int(losses.argmin())],)
    return fit(features, labels, classes, strengths)[0]


def cross_validated(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, seed: int = 0
) -> tuple[np.ndarray, int]:
    """Probabilities of every row by a head that saw neither it nor its group, (rows, classes), and the number of folds.

    Each fold chooses its own strength among the other folds alone, so nothing is chosen by what is scored.
    """
    folds = folds_of(labels, groups, FOLDS, seed)
    if folds is None:
        raise ValueError("a label has recordings of one group only: the accuracy needs two groups of each label")
    predicted = np.zeros((len(features), classes), np.float32)
    for fold in range(folds.max() + 1):
        out = folds == fold
        predicted[out] = chosen(features[~out], labels[~out], groups[~out], classes, seed + 1)(features[out])
    return predicted, int(folds.max()) + 1


def folds_of(labels: np.ndarray, groups: np.ndarray, most: int, seed: int = 0) -> np.ndarray | None:
    """The fold of each row, (rows,): groups stay whole, labels are even. None if a label has one group only."""
    generator = np.random.default_rng(seed)
    owned = {label: np.unique(groups[labels == label]) for label in np.unique(labels)}
    count = min(most, *(len(some) for some in owned.values()))
    if count < 2:
        return None
    fold_of: dict[int, int] = {}
    for some in owned.values():
        start = int(generator.integers(count))
        for place, group in enumerate(generator.permutation(some)):
            fold_of.setdefault(int(group), (start + place) % count)
    return np.array([fold_of[int(group)] for group in groups])
