"""The moving average of a run's weights, which is often the better model and costs a multiplication a step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from . import fsdp
from .objectives import learnt


class Average:
    """The average of a module's learnt parameters; a process keeps the part that it keeps of the parameters themselves.

    Args:
        module: as it is trained: on its device, sharded or not.
        decay: of the average; None for no average.
    """

    def __init__(self, module: nn.Module, decay: float | None) -> None:
        self.decay = decay
        self.parameters = [] if decay is None else learnt(module)
        self.parts = [fsdp.mine(parameter.detach()).clone() for parameter in self.parameters]

    def follow(self) -> None:
        """Moves a little towards the weights."""
        if self.decay is not None:
            now = [fsdp.mine(parameter.detach()) for parameter in self.parameters]
            torch._foreach_lerp_(self.parts, now, 1 - self.decay)

    def state(self, keep: bool) -> list[Tensor]:
        """The full tensors, on the CPU of the processes that keep them; one at a time is whole on the device."""
        full = []
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            tensor = fsdp.whole(part, parameter)
            full.append(tensor.cpu() if keep else tensor.new_empty(0))
        return full

    def load(self, state: Sequence[Tensor]) -> None:
        """Goes on from what ``state`` gave."""
        for part, tensor, parameter in zip(self.parts, state, self.parameters, strict=True):
            part.copy_(fsdp.part_of(tensor, parameter))
