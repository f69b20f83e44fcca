"""Averages of weights: a plain mean from a step on, and the average lent to the module."""

import pytest
import torch
from torch import nn

from training.average import Average
from training.loop import Settings


def walk(module: nn.Linear, average: Average, values: list[float]) -> None:
    for step, value in enumerate(values):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update(step)


def test_a_plain_mean_is_of_the_steps_from_its_start_on() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, None, start=2)
    walk(module, average, [5.0, 7.0, 1.0, 2.0, 6.0])
    assert average.parts[0].item() == pytest.approx(3.0)


def test_before_its_start_a_plain_mean_is_the_weights() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, None, start=9)
    walk(module, average, [5.0, 7.0])
    assert average.parts[0].item() == 7.0


def test_the_average_is_lent_and_given_back() -> None:
    module = nn.Linear(3, 2)
    own = module.weight.detach().clone()
    average = Average(module, 0.5)
    with torch.no_grad():
        module.weight.add_(1 / 3)
    moved = module.weight.detach().clone()
    with average.applied():
        assert torch.equal(module.weight, own)
    assert torch.equal(module.weight, moved)


def test_without_an_average_nothing_is_lent() -> None:
    module = nn.Linear(3, 2)
    average = Average(module, None)
    with average.applied():
        average.update(3)
    assert average.state(True) == []


def test_one_way_of_averaging_is_chosen() -> None:
    with pytest.raises(ValueError, match="choose ema or swa"):
        Settings(steps=1, batch=1, lr=1.0, ema=0.9, swa=0)
