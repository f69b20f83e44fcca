"""Linear heads on frozen embeddings: logistic regression, exact and fast.

Features are standardised over the clips that a head is fitted on, and divided by the square root of their width, so
that one grid of penalties serves embeddings of any width. L-BFGS then solves the convex problem in the basis of the
principal axes, each scaled by a bound on the curvature along it (Boehning 1992). About twenty steps suffice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["multiclass", "multilabel"]
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # factors of half the squared weights
FAINT = 1e-7  # share of the largest eigenvalue: smaller ones are rounding errors of float32
STEPS = 200
PATIENCE = 2  # weaker penalties to try after the best


@dataclass(frozen=True)
class Standardiser:
    """Means and scales of the training features. Constant features have scale 0."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Standardiser":
        std, mean = torch.std_mean(features.double(), dim=0, correction=0)
        flat = std <= 1e-6 * (mean.abs() + std.mean())
        scale = torch.where(flat, 0.0, 1 / torch.where(flat, 1.0, std)) / features.shape[1] ** 0.5
        return cls(mean.float(), scale.float())

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.scale


@dataclass(frozen=True)
class LinearHead:
    """A fitted head."""

    standard: Standardiser
    weight: Tensor  # (features, classes)
    bias: Tensor  # (classes,)

    def __call__(self, features: Tensor) -> Tensor:
        """(clips, features) -> logits (clips, classes)."""
        return torch.addmm(self.bias, self.standard(features), self.weight)


def fit_path(
    features: Tensor, targets: Tensor, kind: Kind, penalties: Sequence[float] = PENALTIES, balanced: bool = False
) -> Iterator[LinearHead]:
    """A generator of heads for each penalty, strongest first. Each fit starts from the previous solution.

    Args:
        features: (clips, features).
        targets: one-hot or multi-hot, (clips, classes).
        balanced: gives every class the same total weight in the loss, as mean recall does.
    """
    standard = Standardiser.of(features)
    axes, coordinates = principal_axes(standard(features))
    weights = _balance(targets) if balanced else torch.full((len(targets),), 1 / len(targets))
    energy = coordinates.square().T @ weights
    curvature = 0.5 if kind == "multiclass" else 0.25
    solution = torch.zeros(len(energy) + 1, targets.shape[1])  # the last row is the bias
    for penalty in penalties:
        bound = torch.cat([curvature * energy + penalty, torch.tensor([curvature])])
        solution = _solve(coordinates, targets, weights, kind, penalty, bound.rsqrt()[:, None], solution)
        yield LinearHead(standard, axes @ solution[:-1], solution[-1])


def principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The principal axes of x, (features, k), and the coordinates of x in them, (clips, k).

    A quadratic penalty is invariant to rotation, and the solution lies in the span of the clips. With fewer clips than
    features, k is at most the number of clips.
    """
    if len(x) >= x.shape[1]:
        energy, axes = _eigen(x.T @ x / len(x))
        axes = axes[:, energy > FAINT * energy[-1]]
        return axes, x @ axes
    q, r = torch.linalg.qr(x.T)  # x = r.T @ q.T
    energy, rotation = _eigen(r @ r.T / len(x))
    rotation = rotation[:, energy > FAINT * energy[-1]]
    return q @ rotation, r.T @ rotation


def _eigen(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in ascending order, and eigenvectors. Falls back to float64 if float32 does not converge."""
    try:
        return torch.linalg.eigh(x)
    except torch.linalg.LinAlgError:
        values, vectors = torch.linalg.eigh(x.double())
        return values.to(x.dtype), vectors.to(x.dtype)


def _balance(targets: Tensor) -> Tensor:
    """Weights of clips that sum to one. Every class that occurs has the same total."""
    counts = targets.sum(0)
    share = targets / counts.clamp(min=1)
    return share.sum(1) / (counts > 0).sum()


def _solve(
    x: Tensor, targets: Tensor, weights: Tensor, kind: Kind, penalty: float, step: Tensor, start: Tensor
) -> Tensor:
    """The minimum of the weighted loss + penalty / 2 * |weights|^2, in coordinates divided by ``step``."""
    scaled = (start / step).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [scaled],
        max_iter=STEPS,
        tolerance_grad=1e-5,
        tolerance_change=1e-9,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    indices = targets.argmax(1)

    def loss() -> float:
        """Sets the gradient in closed form, which takes half the time of autograd."""
        solution = (scaled * step).detach()
        logits = torch.addmm(solution[-1], x, solution[:-1])
        if kind == "multiclass":
            logs = F.log_softmax(logits, 1)
            value = -(weights * logs.gather(1, indices[:, None])[:, 0]).sum()
            error = (logs.exp() - targets) * weights[:, None]
        else:
            value = (F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1) * weights).sum()
            error = (logits.sigmoid() - targets) * weights[:, None]
        gradient = torch.cat([x.T @ error + penalty * solution[:-1], error.sum(0)[None]])
        scaled.grad = gradient * step
        return float(value + penalty / 2 * solution[:-1].square().sum())

    optimiser.step(loss)
    return (scaled * step).detach()


def past_best(scores: Sequence[float]) -> bool:
    """Whether the last ``PATIENCE`` penalties scored worse than the best."""
    return len(scores) > PATIENCE and max(scores[-PATIENCE:]) < max(scores)


@dataclass(frozen=True)
class SelectedHead:
    """The head with the best validation score, and its hyper-parameters."""

    head: Callable[[Tensor], Tensor]  # features -> logits
    choice: dict[str, float]
    valid_score: float


def choose(
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    kind: Kind,
    score_of: Callable[[np.ndarray], float],
    balanced: bool = False,
) -> SelectedHead:
    """Selects the penalty by ``score_of`` (validation logits -> score); among equals the strongest.

    Then fits the head again on the training and validation clips together.
    """
    scores: list[float] = []
    for head in fit_path(*train, kind, balanced=balanced):
        scores.append(score_of(head(valid[0]).numpy()))
        if past_best(scores):
            break
    best = int(np.argmax(scores))
    both = torch.cat([train[0], valid[0]]), torch.cat([train[1], valid[1]])
    head = next(fit_path(*both, kind, [PENALTIES[best]], balanced))
    return SelectedHead(head, {"penalty": PENALTIES[best]}, scores[best])
