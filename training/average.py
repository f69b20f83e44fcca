"""The average of a run's weights, which is often the better model and costs a multiplication a step.

Two kinds: a moving one, which forgets (EMA), and the plain mean over the last steps of a run (SWA).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from . import fsdp
from .objectives import trainable


class Average:
    """The average of a module's trainable parameters; a process keeps the part that it keeps of the parameters.

    Args:
        module: as it is trained: on its device, sharded or not.
        decay: of a moving average; None for none.
        start: the first step of a plain mean; None for none.
    """

    def __init__(self, module: nn.Module, decay: float | None, start: int | None = None) -> None:
        self.decay, self.start = decay, start
        self.parameters = [] if decay is None and start is None else trainable(module)
        self.parts = [fsdp.mine(parameter.detach()).clone() for parameter in self.parameters]

    def follow(self, step: int = 0) -> None:
        """Moves towards the weights that this step left: a little, or as far as makes a plain mean since the start.

        Until its first step a plain mean is the weights as they are.
        """
        if self.parameters:
            now = [fsdp.mine(parameter.detach()) for parameter in self.parameters]
            torch._foreach_lerp_(self.parts, now, self._weight(step))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the average for its weights, and afterwards its own again, to the bit."""
        own = [fsdp.mine(parameter.detach()) for parameter in self.parameters]
        kept = [part.clone() for part in own]
        try:
            for part, average in zip(own, self.parts, strict=True):
                part.copy_(average)
            yield
        finally:
            for part, before in zip(own, kept, strict=True):
                part.copy_(before)

    def _weight(self, step: int) -> float:
        """What the newest weights count."""
        if self.decay is not None:
            return 1 - self.decay
        assert self.start is not None
        return 1 / max(1, step - self.start + 1)

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
