"""Linear heads on frozen embeddings: logistic regression, exact and fast.

Features are standardised by the clips that a head is fitted on, and divided by the root of their number, so that one
grid of penalties serves embeddings of any width. The convex problem is then solved by L-BFGS in the basis of the
features' principal axes, each scaled by a bound on the curvature along it (Boehning 1992): some twenty steps do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["multiclass", "multilabel"]
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # on half the squared weights, beside the mean loss
FAINT = 1e-7  # of the strongest axis: weaker ones are the rounding of single precision
STEPS = 200
PATIENCE = 2  # weaker penalties tried after the best


@dataclass(frozen=True)
class Standard:
    """Means and deviations of training features; one that never varies there is dropped."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Standard":
        std, mean = torch.std_mean(features.double(), dim=0, correction=0)
        flat = std <= 1e-6 * (mean.abs() + std.mean())
        scale = torch.where(flat, 0.0, 1 / torch.where(flat, 1.0, std)) / features.shape[1] ** 0.5
        return cls(mean.float(), scale.float())

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.scale


@dataclass(frozen=True)
class Linear:
    """A fitted head."""

    standard: Standard
    weight: Tensor  # (features, classes)
    bias: Tensor  # (classes,)

    def __call__(self, features: Tensor) -> Tensor:
        """(clips, features) -> logits (clips, classes)."""
        return torch.addmm(self.bias, self.standard(features), self.weight)


def fit_path(
    features: Tensor, targets: Tensor, kind: Kind, penalties: Sequence[float] = PENALTIES, balanced: bool = False
) -> Iterator[Linear]:
    """Heads for each penalty, strongest first, each started where the last one ended; fitted as they are asked for.

    Args:
        features: (clips, features).
        targets: one-hot or many-hot, (clips, classes).
        balanced: every class has the same total weight in the loss, as it has in mean recall.
    """
    standard = Standard.of(features)
    axes, coordinates = principal_axes(standard(features))
    weights = _balance(targets) if balanced else torch.full((len(targets),), 1 / len(targets))
    energy = coordinates.square().T @ weights
    curvature = 0.5 if kind == "multiclass" else 0.25
    solution = torch.zeros(len(energy) + 1, targets.shape[1])  # the last row is the bias
    for penalty in penalties:
        bound = torch.cat([curvature * energy + penalty, torch.tensor([curvature])])
        solution = _solve(coordinates, targets, weights, kind, penalty, bound.rsqrt()[:, None], solution)
        yield Linear(standard, axes @ solution[:-1], solution[-1])


def principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """An orthonormal basis of the rows of x in which its columns are uncorrelated, (features, k), and x in it.

    A quadratic penalty does not see rotations, and a solution has no part outside the span of the clips: with fewer
    clips than features the problem shrinks to their number.
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
    """Eigenvalues, rising, and vectors; in float64 where float32 finds none, as of many features that never vary."""
    try:
        return torch.linalg.eigh(x)
    except torch.linalg.LinAlgError:
        values, vectors = torch.linalg.eigh(x.double())
        return values.to(x.dtype), vectors.to(x.dtype)


def _balance(targets: Tensor) -> Tensor:
    """Weights of clips that sum to one, equally over the classes that occur."""
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
        """Fills in the gradient by hand: half the time of the tape's."""
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


def falling(scores: Sequence[float]) -> bool:
    """Whether penalties so weak were tried that going on is of no use."""
    return len(scores) > PATIENCE and max(scores[-PATIENCE:]) < max(scores)


@dataclass(frozen=True)
class Chosen:
    """The head that did best on the validation clips, and what was chosen there."""

    head: Callable[[Tensor], Tensor]  # features -> logits
    choice: dict[str, float]
    valid_score: float


def choose(
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    kind: Kind,
    rate: Callable[[np.ndarray], float],
    balanced: bool = False,
) -> Chosen:
    """Picks the penalty by ``rate`` (logits of the validation clips -> score), among equals the strongest.

    The head is then fitted again on the training and validation clips together.
    """
    scores: list[float] = []
    for head in fit_path(*train, kind, balanced=balanced):
        scores.append(rate(head(valid[0]).numpy()))
        if falling(scores):
            break
    best = int(np.argmax(scores))
    both = torch.cat([train[0], valid[0]]), torch.cat([train[1], valid[1]])
    head = next(fit_path(*both, kind, [PENALTIES[best]], balanced))
    return Chosen(head, {"penalty": PENALTIES[best]}, scores[best])
