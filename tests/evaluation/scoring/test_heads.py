"""Linear heads: the optimum of what they promise to minimise, whatever the shape; neighbours; a hidden layer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.scoring import heads, mlp, neighbours
from evaluation.scoring.heads import Kind, Standardiser, fit_path


def clouds(clips: int, features: int, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Overlapping clouds of points, of unequal sizes, with axes of very unequal lengths; one-hot labels."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(classes * 2, (clips,), generator=generator).clamp(max=classes - 1)
    centres = torch.randn(classes, features, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(clips, features, generator=generator) * torch.logspace(0.5, -2, features)
    return 5 + centres[kinds] * torch.logspace(-0.5, -2, features) + noise, F.one_hot(kinds, classes).float()


def slope(
    head: heads.LinearHead, features: Tensor, targets: Tensor, kind: Kind, penalty: float, balanced: bool
) -> Tensor:
    """The gradient, by weight and bias, of what a head should minimise, written out in float64."""
    std, mean = torch.std_mean(features.double(), 0, correction=0)
    x = (features.double() - mean) / std / features.shape[1] ** 0.5
    weight, bias = head.weight.double().requires_grad_(), head.bias.double().requires_grad_()
    logits = x @ weight + bias
    if kind == "multiclass":
        losses = F.cross_entropy(logits, targets.argmax(1), reduction="none")
    else:
        losses = F.binary_cross_entropy_with_logits(logits, targets.double(), reduction="none").sum(1)
    loss = torch.stack([losses[row == 1].mean() for row in targets.T]).mean() if balanced else losses.mean()
    total = loss + penalty / 2 * weight.square().sum()
    return torch.cat([grad.flatten() for grad in torch.autograd.grad(total, (weight, bias))])


@pytest.mark.parametrize(("clips", "features"), [(200, 12), (40, 90)])
@pytest.mark.parametrize(("kind", "balanced"), [("multiclass", False), ("multiclass", True), ("multilabel", False)])
def test_a_head_is_at_the_minimum(clips: int, features: int, kind: Kind, balanced: bool) -> None:
    x, targets = clouds(clips, features)
    path = fit_path(x, targets, kind, balanced=balanced)
    for penalty, head in zip(heads.PENALTIES, path, strict=True):
        assert slope(head, x, targets, kind, penalty, balanced).abs().max() < 1e-4, penalty


def test_the_penalty_means_the_same_for_twice_the_same_features() -> None:
    x, targets = clouds(60, 10)
    for once, twice in zip(
        fit_path(x, targets, "multiclass"), fit_path(torch.cat([x, x], 1), targets, "multiclass"), strict=True
    ):
        logits = once(x)
        assert (twice(torch.cat([x, x], 1)) - logits).abs().max() < 0.02 * logits.abs().max()


def test_a_feature_that_never_varied_is_ignored() -> None:
    x, targets = clouds(60, 10)
    x[:, 3] = 0.25
    head = next(fit_path(x, targets, "multiclass", [1e-4]))
    new = x.clone()
    new[:, 3] = 1e6
    assert torch.equal(head(new), head(x))


def test_standardisation_is_of_the_clips_fitted_on() -> None:
    x, _ = clouds(60, 10)
    z = Standardiser.of(x)(x)
    assert z.mean(0).abs().max() < 1e-5
    assert torch.allclose(z.square().mean(0), torch.full((10,), 0.1), rtol=1e-4)


def rate_of(targets: Tensor) -> Callable[[np.ndarray], float]:
    truth = targets.argmax(1).numpy()
    return lambda predicted: float((predicted.argmax(1) == truth).mean())


def test_the_best_penalty_on_validation_clips_is_chosen_and_fitted_with_them() -> None:
    train, valid = clouds(30, 40, seed=1), clouds(300, 40, seed=2)
    rate = rate_of(valid[1])
    scores = [rate(head(valid[0]).numpy()) for head in fit_path(*train, "multiclass")]
    chosen = heads.choose(train, valid, "multiclass", rate)
    assert chosen.valid_score == max(scores) > min(scores)
    assert chosen.choice["penalty"] == heads.PENALTIES[int(np.argmax(scores))]
    both = torch.cat([train[0], valid[0]]), torch.cat([train[1], valid[1]])
    again = next(fit_path(*both, "multiclass", [chosen.choice["penalty"]]))
    assert torch.equal(chosen.head(valid[0]), again(valid[0]))


def test_among_equals_the_strongest_penalty() -> None:
    train = clouds(30, 5)
    assert heads.choose(train, train, "multiclass", lambda _: 0.5).choice["penalty"] == max(heads.PENALTIES)


def test_no_weaker_penalties_once_scores_fall() -> None:
    asked: list[float] = []

    def rate(_: np.ndarray) -> float:
        asked.append([0.5, 0.7, 0.6, 0.65, 0.9][len(asked)])
        return asked[-1]

    train = clouds(30, 5)
    assert heads.choose(train, train, "multiclass", rate).choice["penalty"] == heads.PENALTIES[1]
    assert len(asked) == 4


def test_a_hidden_layer_finds_what_no_line_can() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(600, 2, generator=generator) * 2 - 1
    targets = F.one_hot((x.prod(1) > 0).long(), 2).float()
    train, valid, test = ((x[i : i + 200], targets[i : i + 200]) for i in (0, 200, 400))
    hits = {}
    for name, module in (("linear", heads), ("mlp", mlp)):
        head = module.choose(train, valid, "multiclass", rate_of(valid[1])).head  # type: ignore[attr-defined]
        hits[name] = rate_of(test[1])(head(test[0]).numpy())
    assert hits["mlp"] > 0.9 > 0.7 > hits["linear"]


def test_neighbours_are_the_nearest_by_angle() -> None:
    x = torch.tensor([[1.0, 0.1], [2.0, 0.1], [-1.0, 0.2], [-1.5, 0.1], [0.1, -1.0], [0.2, -3.0]])
    targets = F.one_hot(torch.tensor([0, 0, 1, 1, 2, 2])).float()
    valid = x * 1.1, targets
    votes, k = neighbours.choose((x, targets), valid, x * 0.9, rate_of(targets), balanced=False)
    assert votes.argmax(1).tolist() == [0, 0, 1, 1, 2, 2]
    assert k == 1


def test_balanced_votes_give_a_rare_class_its_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(95, 3, generator=generator), torch.randn(5, 3, generator=generator)])
    targets = F.one_hot(torch.tensor([0] * 95 + [1] * 5)).float()
    for balanced, share in ((False, 0.02), (True, 0.2)):
        votes = neighbours._votes((x, targets), torch.randn(200, 3, generator=generator), balanced)[20]
        found = float((votes.argmax(1) == 1).mean())
        assert found > share if balanced else found <= share


def test_features_that_float32_cannot_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK gives up on some matrices with many equal eigenvalues in float32; the head is then the same."""
    generator = torch.Generator().manual_seed(0)
    features, targets = torch.randn(40, 12, generator=generator), torch.eye(2)[torch.arange(40) % 2]
    expected = [head(features) for head in fit_path(features, targets, "multiclass")]
    eigh = torch.linalg.eigh

    def fails(x: Tensor) -> Any:
        if x.dtype == torch.float32:
            raise torch.linalg.LinAlgError("the algorithm failed to converge")
        return eigh(x)

    monkeypatch.setattr(torch.linalg, "eigh", fails)
    for head, head_alone in zip(fit_path(features, targets, "multiclass"), expected, strict=True):
        assert torch.allclose(head(features), head_alone, atol=1e-2)  # the optimiser stops near the optimum
