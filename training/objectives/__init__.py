"""What each method learns by: one loss a file.

An objective owns what its encoder does not need at inference and answers ``loss, logs = objective(audio, step)`` for
raw crops on the device; the loop owns everything else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from hear_audioformer import checkpoint
from hear_audioformer.encoder import Network

Logs = dict[str, Tensor]
NORM = ("norm.weight", "norm.bias")  # after the last block of an encoder


class Objective(Protocol):
    """What the loop asks of an objective; each is an ``nn.Module`` as well.

    One that learns from more than audio takes the batches of its reader, and says by ``example(clips)`` what they look
    like; one whose parts learn at different rates says so by ``lr_scales()``.

    Attributes:
        readers: what it can learn from, keys of ``training.data.readers.READERS``; a recipe chooses one.
    """

    readers: tuple[str, ...]
    encoder: Network
    crop: int  # samples of a training crop

    def __call__(self, audio: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Crops (batch, crop) -> a scalar loss and scalars for the log."""
        ...


@runtime_checkable
class Steers(Protocol):
    """An objective with something to do around the optimiser's step, such as moving a teacher.

    Whatever it moves belongs into its state, as parameters without gradient or as buffers: what a checkpoint holds is
    what a run goes on from.
    """

    def before_step(self, step: int) -> None:
        """Called once the step's gradients are there, and clipped."""

    def after_step(self, step: int, steps: int) -> None:
        """Called once the weights have moved; not after a step that was left out for a bad loss."""


def exported(objective: Any) -> Network:
    """The encoder, or codec, worth keeping: the teacher's where there is one."""
    teacher = getattr(objective, "teacher", None)
    return objective.encoder if teacher is None else teacher.encoder


def keep_fixed(encoder: Network, tensors: Mapping[str, Tensor]) -> None:
    """Gives an encoder of fresh weights those tensors of a file that no training of its method moves."""
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(encoder.fixed)}
    encoder.load_state_dict(kept, strict=False)


def start_from(objective: Any, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Gives an objective's encoder, and its teacher where there is one, the weights of a file to go on from.

    An encoder of fewer blocks than the file has takes the first ones. Where its last norm has another width then, as
    after an earlier stage of MAST, that norm stays as it begins.
    """
    blocks = len(getattr(objective.encoder, "blocks", ()))
    first = {name: tensor for name, tensor in tensors.items() if block_of(name) < max(1, blocks)}
    if len(first) < len(tensors):
        own = objective.encoder.state_dict()
        first |= {name: own[name] for name in NORM if name in own and own[name].shape != first[name].shape}
    tensors = first
    checkpoint.fill(objective.encoder, tensors, source)
    if (teacher := getattr(objective, "teacher", None)) is not None:
        checkpoint.fill(teacher.encoder, tensors, source)


def block_of(name: str) -> int:
    """The number of the block that a tensor belongs to; 0 for what is in none."""
    path = name.split(".")
    return int(path[1]) if path[0] == "blocks" and path[1].isdigit() else 0


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that gradients move."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def lr_scales(module: nn.Module) -> dict[str, float]:
    """Factors on the learning rate by name of parameter, of an objective that has them; all others learn at one."""
    scales = getattr(module, "lr_scales", None)
    return scales() if scales else {}


def no_decay(module: nn.Module) -> set[str]:
    """Names of parameters that weight decay leaves alone.

    Biases, everything 1-D, tables of embeddings, and what a part names as ``undecayed``.
    """
    undecayed = {f"{path}.{name}" for path, part in module.named_modules() for name in getattr(part, "undecayed", ())}
    tables = {f"{path}.weight" for path, part in module.named_modules() if isinstance(part, nn.Embedding)}
    spared = (
        name
        for name, parameter in module.named_parameters()
        if parameter.ndim <= 1 or name.endswith(".bias") or name in undecayed | tables
    )
    return set(spared)
