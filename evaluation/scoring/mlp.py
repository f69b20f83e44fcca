"""A head with one hidden layer, as in HEAR's kit. It is slower and less exact than the linear head."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .heads import Kind, SelectedHead, Standardiser

HIDDEN, DROPOUT, RATE, BATCH = 1024, 0.1, 1e-3, 256
EPOCHS, PATIENCE = 200, 20


def choose(
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    kind: Kind,
    score_of: Callable[[np.ndarray], float],
    balanced: bool = False,
) -> SelectedHead:
    """Trains on the training clips. Keeps the weights of the epoch with the best validation score."""
    features, targets = train
    standard = Standardiser.of(features)
    widen = features.shape[1] ** 0.5  # to unit variance, which the initialisation assumes
    x, x_valid = standard(features) * widen, standard(valid[0]) * widen
    weights = len(targets) / targets.sum(0).clamp(min=1) / targets.shape[1] if balanced else None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, targets.shape[1])
        )
        optimiser = torch.optim.Adam(net.parameters(), RATE)
        best, score, since = copy.deepcopy(net.state_dict()), -1.0, 0
        for _ in range(EPOCHS):
            _epoch(net, optimiser, x, targets, kind, weights)
            with torch.no_grad():
                now = score_of(net.eval()(x_valid).numpy())
            since += 1
            if now > score:
                best, score, since = copy.deepcopy(net.state_dict()), now, 0
            if since == PATIENCE:
                break
    net.load_state_dict(best)
    net.requires_grad_(False)
    return SelectedHead(lambda new: net(standard(new) * widen), {}, score)


def _epoch(
    net: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, targets: Tensor, kind: Kind, weights: Tensor | None
) -> None:
    net.train()
    for rows in torch.randperm(len(x)).split(BATCH):
        logits = net(x[rows])
        if kind == "multiclass":
            loss = F.cross_entropy(logits, targets[rows].argmax(1), weights)
        else:
            loss = F.binary_cross_entropy_with_logits(logits, targets[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
