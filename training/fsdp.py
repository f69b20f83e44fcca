"""Models too large for one device: every process keeps a shard of weights, gradients and optimiser states (FSDP2).

A recipe asks for it with ``strategy: fsdp``. Checkpoints are whole all the same, one file with the names and shapes of
an unsharded run, so that export and figures need not know.
"""

from lightning.fabric.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def strategy(processes: int) -> ModelParallelStrategy:
    """Fabric's strategy for so many processes; its other one, of the name fsdp, knows CUDA only."""
    return ModelParallelStrategy(
        shard, data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def shard(module: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Shards every block by itself, so that one at a time is whole, and then what is left."""
    data = mesh["data_parallel"]
    for part in reversed(list(module.modules())):  # children before their parents
        if isinstance(part, nn.ModuleList):
            for block in part:
                fully_shard(block, mesh=data)
    fully_shard(module, mesh=data)
    return module


def local_shard(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process keeps, without a copy; all of it where nothing is sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full_tensor(part: Tensor, like: Tensor) -> Tensor:
    """Puts the parts of all processes together; ``like`` is the sharded parameter that they belong to."""
    if not isinstance(like, DTensor):
        return part
    return DTensor.from_local(
        part, like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
    ).full_tensor()


def shard_of(tensor: Tensor, like: Tensor) -> Tensor:
    """The part that this process keeps of a tensor which all have."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None).to_local()


def to_float(value: Tensor | None) -> float:
    """A scalar, sharded or not, as Python's; NaN for none."""
    return float("nan") if value is None else float(full_scalar(value))


def full_scalar(value: Tensor) -> Tensor:
    """A scalar, sharded or not, as every process has it."""
    return value.full_tensor() if isinstance(value, DTensor) else value
