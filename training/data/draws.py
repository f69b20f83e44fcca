"""Random numbers for a whole batch, drawn from one generator and on its device, so that a seed fixes all of them.

Parameters of clips are drawn as columns, (batch, 1), that broadcast over time.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Evenly between two values."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def log_uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Evenly in the logarithm: as many draws in each octave, as ears count frequencies and times."""
    return uniform(math.log(low), math.log(high), shape, generator).exp()


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """White noise of unit variance."""
    return torch.randn(shape, generator=generator, device=generator.device)


def integers(low: int, high: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """From low to high - 1."""
    return torch.randint(low, high, shape, generator=generator, device=generator.device)


def one_of(values: Sequence[float], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """One of these values, all equally likely."""
    return torch.tensor(values, device=generator.device)[integers(0, len(values), shape, generator)]


def chance(probability: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """True with this probability."""
    return uniform(0.0, 1.0, shape, generator) < probability
