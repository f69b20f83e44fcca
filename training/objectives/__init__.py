"""What each method learns by: one loss a file.

An objective owns what its encoder does not need at inference and answers ``loss, logs = objective(audio, step)`` for
raw crops on the device; the loop owns everything else.
"""

from typing import Protocol

from torch import Tensor, nn

from hear_audioformer.embedder import Encoder

Logs = dict[str, Tensor]


class Objective(Protocol):
    """What the loop asks of an objective; each is an ``nn.Module`` as well."""

    encoder: Encoder
    crop: int  # samples of a training crop

    def __call__(self, audio: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Crops (batch, crop) -> a scalar loss and scalars for the log."""
        ...


def no_decay(module: nn.Module) -> set[str]:
    """Names of parameters that weight decay leaves alone: biases, everything 1-D, and tables of embeddings."""
    tables = {f"{name}.weight" for name, part in module.named_modules() if isinstance(part, nn.Embedding)}
    flat = {name for name, parameter in module.named_parameters() if parameter.ndim <= 1 or name.endswith(".bias")}
    return flat | tables
