"""Whole numbers of a graph whose clip has a free length.

Arithmetic on a free size must not ask which of two numbers is larger, because the tracer would keep one answer for all
lengths. ``torch.sym_min``, ``torch.sym_max`` and ``//`` of numbers that are not negative ask nothing. ``free`` then
makes a size that the tracer knows by its bounds alone.
"""

from typing import cast

import torch
from torch import Tensor


def free(size: int, low: int, high: int | None = None) -> int:
    """The same number, of which the tracer knows nothing but that it lies in ``low``..``high``; a plain int stays."""
    if isinstance(size, int):
        return size
    number = torch.full((), size, dtype=torch.int64).item()
    assert not isinstance(number, (bool, float))
    torch._check(number >= low)
    if high is not None:
        torch._check(number <= high)
    return number


def least(a: int, b: int) -> int:
    """The smaller of two sizes."""
    return cast(int, torch.sym_min(a, b))


def most(a: int, b: int) -> int:
    """The larger of two sizes."""
    return cast(int, torch.sym_max(a, b))


def parts(size: int, part: int) -> int:
    """Parts that hold ``size``, the last perhaps partly empty; ``size`` must not be negative."""
    return (size + part - 1) // part


def whole(number: int) -> Tensor:
    """A number as a tensor ()."""
    return torch.full((), number, dtype=torch.int64)
