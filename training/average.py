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
    """The average of a module's trainable parameters; each process averages its local shards.

    Args:
        module: as it is trained: on its device, sharded or not.
        decay: of a moving average; None for none.
        start: the first step of a plain mean; None for none.
    """

    def __init__(self, module: nn.Module, decay: float | None, start: int | None = None) -> None:
        self.decay, self.start = decay, start
        self.parameters = [] if decay is None and start is None else trainable(module)
        self.parts = [fsdp.local_shard(parameter.detach()).clone() for parameter in self.parameters]

    def update(self, step: int = 0) -> None:
        """Moves towards the newest weights: by 1 - decay, or by what makes a plain mean of all since the start.

        Until its first step a plain mean is the weights as they are.
        """
        if self.parameters:
            now = [fsdp.local_shard(parameter.detach()) for parameter in self.parameters]
            torch._foreach_lerp_(self.parts, now, self._weight(step))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the average for its weights, and afterwards its own again, to the bit."""
        own = [fsdp.local_shard(parameter.detach()) for parameter in self.parameters]
        kept = [part.clone() for part in own]
        try:
            for part, average in zip(own, self.parts, strict=True):
                part.copy_(average)
            yield
        finally:
            for part, before in zip(own, kept, strict=True):
                part.copy_(before)

    def _weight(self, step: int) -> float:
        """The share of the newest weights in the average."""
        if self.decay is not None:
            return 1 - self.decay
        assert self.start is not None
        return 1 / max(1, step - self.start + 1)

    def state(self, keep: bool) -> list[Tensor]:
        """The full tensors, on the CPU of the processes that ``keep`` them; gathered one at a time."""
        full = []
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            tensor = fsdp.full_tensor(part, parameter)
            full.append(tensor.cpu() if keep else tensor.new_empty(0))
        return full

    def load(self, state: Sequence[Tensor]) -> None:
        """Goes on from what ``state`` gave."""
        for part, tensor, parameter in zip(self.parts, state, self.parameters, strict=True):
            part.copy_(fsdp.shard_of(tensor, parameter))
