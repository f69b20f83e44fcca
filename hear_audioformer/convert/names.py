"""The backbone of a vision transformer in a published state dict, and the names of its parameters."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..checkpoint import WeightsError

ROOT = "patch_embed.proj.weight"  # what stands before this name is the prefix of the backbone
PARTS = (
    ("embed.", "patch_embed.proj."),
    ("attention_norm", "norm1"),
    ("attention.qkv", "attn.qkv"),
    ("attention.out", "attn.proj"),
    ("mlp_norm", "norm2"),
    ("mlp.up", "mlp.fc1"),
    ("mlp.down", "mlp.fc2"),
)


def unwrap(state: Mapping[str, Tensor], what: str) -> tuple[dict[str, Tensor], list[str]]:
    """The backbone's tensors, as float32, without the prefix of their names, and notes on what was left out.

    The prefix is what stands before the patch embedding, such as ``backbone.``, or DDP's ``module.``.
    """
    roots = [name for name in state if name == ROOT or name.endswith(f".{ROOT}")]
    if len(roots) != 1:
        names = ", ".join(list(state)[:5])
        raise WeightsError(
            f"{ROOT}: found {len(roots)} times, expected once; not an {what} checkpoint? It has {names}, ..."
        )
    prefix = roots[0].removesuffix(ROOT)
    inside = {name.removeprefix(prefix): tensor.float() for name, tensor in state.items() if name.startswith(prefix)}
    outside = [name for name in state if not name.startswith(prefix)]
    notes = [f"names stripped of the prefix {prefix!r}"] if prefix else []
    if outside:
        notes.append(f"left out {len(outside)} tensors beside the backbone ({outside[0]}, ...)")
    return inside, notes


def depth_of(state: Mapping[str, Tensor]) -> int:
    """Blocks in a backbone."""
    return 1 + max((int(name.split(".")[1]) for name in state if name.startswith("blocks.")), default=-1)


def heads_of(width: int, given: int | None) -> int:
    """Attention heads, which no shape gives: 64 wide in all published models."""
    if given is None and width % 64:
        raise WeightsError(
            f"{ROOT}: a width of {width} is not a multiple of 64, so the heads cannot be told; pass heads"
        )
    return given or width // 64


def upstream(name: str) -> str:
    """The name that vision transformers give to a parameter of ours."""
    for ours, theirs in PARTS:
        name = name.replace(ours, theirs)
    return {"cls": "cls_token", "positions": "pos_embed"}.get(name, name)


def take(state: Mapping[str, Any], name: str) -> Tensor:
    """A tensor of the state, which must have it."""
    if name not in state:
        raise WeightsError(f"{name}: missing from the checkpoint, which is truncated or of another method")
    return state[name]


def fitted(tensor: Tensor, target: Tensor, name: str) -> Tensor:
    """A tensor in the shape of the target; dimensions of one may come and go, and those of a patch may be flattened."""
    if tensor.numel() != target.numel() or (tensor.ndim == target.ndim and tensor.shape != target.shape):
        raise WeightsError(f"{name}: shape {tuple(tensor.shape)} where {tuple(target.shape)} was expected")
    return tensor.reshape(target.shape)
