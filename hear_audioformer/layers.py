"""The transformer parts that the methods share: attention, MLP, block, patches, position tables."""

from collections.abc import Iterable

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from . import onednn
from .tables import table

PLAIN_TOKENS = 256  # the most tokens for which training on a CPU uses plain matrix products


class Linear(nn.Linear):
    """A linear layer that takes float32 input whatever the precision of its own weights.

    With bf16 weights the products run in bf16, while norms and the residual stream stay float32. Autocast does the
    same, but it casts the weights at every call.
    """

    def forward(self, x: Tensor) -> Tensor:
        if onednn.serves(x, self.weight):
            return onednn.linear(x, self.weight, self.bias)
        low = self.weight.dtype != torch.float32
        return F.linear(x.to(self.weight.dtype) if low else x, self.weight, self.bias)


class Attention(nn.Module):
    """Multi-head self-attention, (batch, tokens, dim) -> the same.

    MSM-MAE's own files have biases for queries and values only. A key bias adds the same amount to all logits of a
    query, which the softmax cancels, so that one full bias is exact for all methods.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"a width of {dim} cannot be split into {heads} heads")
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim)
        self.out = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        return self.out(rearrange(attend(q, k, v), "b h n d -> b n (h d)"))


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax attention, (batch, heads, tokens, width) -> the same.

    A bias, (batch, heads, queries, keys), is added to the logits. On a CPU the backward pass of the fused kernel is
    several times slower than plain matrix products on sequences as short as a masked autoencoder's, so training there
    uses these.
    """
    if q.device.type == "cpu" and torch.is_grad_enabled() and q.shape[2] <= PLAIN_TOKENS:
        logits = q * q.shape[3] ** -0.5 @ k.transpose(2, 3)
        return (logits if bias is None else logits + bias).softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, bias)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between, applied to every token by itself."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up = Linear(dim, hidden)
        self.down = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class ResidualBlock(nn.Module):
    """A transformer block whose residual branches may be dropped in training (stochastic depth).

    Attributes:
        drop_prob: share of the clips whose branches are dropped; an objective may set it.
    """

    drop_prob: float = 0.0

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """The residual sum, (batch, tokens, dim)."""
        return x + drop_path(branch, self.drop_prob, self.training)


class Block(ResidualBlock):
    """One pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
        self.attention = Attention(dim, heads)
        self.mlp_norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, hidden(dim, mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = self.add(x, self.attention(self.attention_norm(x)))
        return self.add(x, self.mlp(self.mlp_norm(x)))


def hidden(dim: int, ratio: float) -> int:
    """The width inside an MLP, rounded down. A ratio computed as hidden / dim gives exactly hidden."""
    return int(dim * ratio + 1e-6)


def drop_path(branch: Tensor, drop_prob: float, training: bool) -> Tensor:
    """DropPath (Huang et al., arXiv 1603.09382): in training, zeros a branch (batch, tokens, dim) of some of the clips.

    The branches of the others are scaled up, so that the expected value stays.
    """
    if not training or not drop_prob:
        return branch
    kept = torch.rand(len(branch), 1, 1, device=branch.device) >= drop_prob
    return branch * (kept / (1 - drop_prob))


def set_drop_path(blocks: Iterable[nn.Module], drop_path: float) -> None:
    """Sets ``drop_prob`` of all blocks: 0 for the first, ``drop_path`` for the last, on a straight line between."""
    residual = [block for block in blocks if isinstance(block, ResidualBlock)]
    for number, block in enumerate(residual):
        block.drop_prob = drop_path * number / max(1, len(residual) - 1)


def patchify(spectrogram: Tensor, patch: tuple[int, int]) -> Tensor:
    """(batch, frames, bands) -> (batch, rows, columns, bands * frames of a patch), for a patch of (bands, frames)."""
    return rearrange(spectrogram, "b (t w) (f h) -> b f t (h w)", h=patch[0], w=patch[1])


def sincos_1d(positions: Tensor, dim: int) -> Tensor:
    """(n,) -> (n, dim): dim / 2 sines, then as many cosines, at wavelengths from 2 pi to 20000 pi; float64."""
    rates = 10000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    angles = positions.double()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _shape_2d(rows: int, columns: int, dim: int) -> tuple[int, int, int]:
    if dim % 4:
        raise ValueError(f"a 2-D sine-cosine table needs a width divisible by 4, got {dim}")
    return rows, columns, dim


@table(_shape_2d)
def sincos_2d(rows: int, columns: int, dim: int) -> Tensor:
    """(rows, columns, dim): the first half of a vector encodes the column (time), the second the row (frequency)."""
    time = sincos_1d(torch.arange(columns), dim // 2)
    frequency = sincos_1d(torch.arange(rows), dim // 2)
    table = torch.cat([time.expand(rows, -1, -1), frequency[:, None].expand(-1, columns, -1)], dim=-1)
    return table.float()
