"""Where a codec's training starts from: convolutions that all speak at the same level.

Mishkin and Matas, "All you need is a good init" (arXiv 1511.06422). With PyTorch's own initial weights a sound of usual
level leaves the last layer as a tremor around the biases; a network of ELUs is then all but linear, and after hundreds
of steps it has learnt how loud a sound is, and little else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .codebooks import shared

CONVOLUTIONS = (nn.Conv1d, nn.ConvTranspose1d)
FAINTEST = 1e-6  # deviations below this are no sound to go by


@torch.no_grad()
def even_out(network: nn.Module, given: Tensor) -> Tensor:
    """Scales a network's weight-normalised convolutions, in the order in which they run on what is given.

    Afterwards each has outputs of unit deviation and no bias. Every process gets the first one's scales.
    """
    with _hooked(network, _scale):
        return network(given)


@torch.no_grad()
def louder(convolution: nn.Module, factor: Tensor) -> None:
    """Multiplies the outputs of a weight-normalised convolution without bias."""
    gain: Any = convolution.parametrizations.weight.original0  # type: ignore[union-attr]
    gain.mul_(factor)


def _scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    untyped: Any = layer
    untyped.bias.zero_()
    plain: Tensor = untyped.forward(*inputs)
    deviation = shared(plain.float().std())
    factor = torch.where(deviation > FAINTEST, 1 / deviation, 1.0)
    louder(layer, factor)
    return plain * factor


@contextmanager
def _hooked(network: nn.Module, hook: Callable[..., Tensor]) -> Iterator[None]:
    handles = [part.register_forward_hook(hook) for part in network.modules() if isinstance(part, CONVOLUTIONS)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
