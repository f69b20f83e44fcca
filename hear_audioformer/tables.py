"""What a module computes when it is built: windows, filters, positions, initial weights.

A module that is only asked for its shapes computes nothing: on the meta device, torch would import a second's worth of
decompositions for it.
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
inside = ContextVar("inside", default=False)  # whether shapes alone are asked for
DRAWS = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)


class Shapes(TorchFunctionMode):
    """Modules built inside are on the meta device, with tables that are empty and weights that are not drawn."""

    def __enter__(self) -> "Shapes":
        self.before = inside.set(True)
        self.device = torch.device("meta")
        self.device.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        inside.reset(self.before)
        self.device.__exit__(*error)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return kwargs.get("tensor", *args[:1]) if function in DRAWS else function(*args, **kwargs)


def table(shape: Callable[P, tuple[int, ...]]) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """A function that computes a table of this shape, from its own arguments."""

    def decorate(compute: Callable[P, Tensor]) -> Callable[P, Tensor]:
        @wraps(compute)
        def made(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            size = shape(*args, **kwargs)  # this refuses what makes no table, on any device
            return torch.empty(size) if inside.get() else compute(*args, **kwargs)

        return made

    return decorate


def _hann_shape(length: int, *, periodic: bool = True, dtype: torch.dtype = torch.float32) -> tuple[int]:
    return (length,)


@table(_hann_shape)
def hann(length: int, *, periodic: bool = True, dtype: torch.dtype = torch.float32) -> Tensor:
    """Hann's window, (length,)."""
    return torch.hann_window(length, periodic=periodic, dtype=dtype)
