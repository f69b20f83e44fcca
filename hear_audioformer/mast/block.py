"""A transformer block whose attention pools its queries, keys and values over a grid of frequency and time.

The pooling attention of MViTv2 (Li et al., CVPR 2022, arXiv 2112.01526, section 4). Pooled keys and values make
attention cheaper; pooled queries make the grid of the next stage coarser. The pools run on channels-last views of the
linear layers' outputs, for all heads in one call, without a copy.

Tokens are in frequency-major order. Tokens in front of the grid, such as a class token, are attended to and not pooled.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import Linear, Mlp, ResidualBlock, attend, hidden
from .positions import Axis, Positions, RelativePositions, Size


@dataclass(frozen=True)
class Shape:
    """Everything that makes one block.

    Attributes:
        grid: of its input in training; any other works as well.
        dim, out: widths of a token before and after.
        heads: of ``out``.
        query_stride, query_kernel, key_stride, key_kernel: of the pools; keys and values share theirs.
        relative: whether there are relative positions.
        positions: how distances beyond training are handled.
    """

    grid: Size
    dim: int
    out: int
    heads: int
    query_stride: Size = (1, 1)
    query_kernel: Size = (3, 3)
    key_stride: Size = (1, 1)
    key_kernel: Size = (3, 3)
    relative: bool = True
    positions: Positions = "clamp"

    def __post_init__(self) -> None:
        if self.out % self.heads:
            raise ValueError(f"a width of {self.out} cannot be split into {self.heads} heads")
        for name in ("query_stride", "key_stride"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 1 or more in both axes")


def pooled_size(grid: Size, stride: Size) -> Size:
    """The grid behind a pool, in the form of a convolution's own output size, which export compares it with."""
    return (grid[0] - 1) // stride[0] + 1, (grid[1] - 1) // stride[1] + 1


class Pool(nn.Module):
    """A depthwise convolution over the grid with one kernel for all heads, then a norm of every head's vector."""

    def __init__(self, width: int, heads: int, kernel: Size, stride: Size) -> None:
        super().__init__()
        self.heads, self.stride = heads, stride
        self.padding = kernel[0] // 2, kernel[1] // 2
        self.kernel = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(width, 1, *kernel), a=5**0.5))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor, grid: Size) -> Tensor:
        """(batch, front + cells, heads * width) -> (batch, heads, front + pooled cells, width)."""
        front = x.shape[1] - grid[0] * grid[1]
        kernel = self.kernel.to(x.dtype).repeat(self.heads, 1, 1, 1)
        cells = as_image(x[:, front:], grid)
        cells = grouped(cells, kernel, self.stride, self.padding)
        tokens = as_tokens(x[:, :front], cells).unflatten(2, (self.heads, -1))
        weight, bias = self.norm.weight.to(x.dtype), self.norm.bias.to(x.dtype)
        return F.layer_norm(tokens, self.norm.normalized_shape, weight, bias, self.norm.eps).transpose(1, 2)


def as_image(cells: Tensor, grid: Size) -> Tensor:
    """(batch, cells, dim) -> the same memory as a channels-last image, (batch, dim, frequency, time)."""
    return cells.unflatten(1, grid).permute(0, 3, 1, 2)


def as_tokens(front: Tensor, image: Tensor) -> Tensor:
    """Front tokens (batch, front, dim) and an image (batch, dim, frequency, time) -> (batch, front + cells, dim)."""
    cells = image.permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([front, cells], dim=1) if front.shape[1] else cells


def grouped(image: Tensor, kernel: Tensor, stride: Size, padding: Size) -> Tensor:
    """A depthwise convolution.

    In training on a CPU it runs in float32, because its backward pass in bf16 takes a fifth of a training step there.
    """
    if image.device.type == "cpu" and torch.is_grad_enabled() and image.dtype == torch.bfloat16:
        with torch.autocast("cpu", enabled=False):
            return grouped(image.float(), kernel.float(), stride, padding).to(image.dtype)
    return F.conv2d(image, kernel, stride=stride, padding=padding, groups=len(kernel))


class PooledAttention(nn.Module):
    """Attention of pooled queries to pooled keys; the pooled queries are added to its output."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.out // shape.heads
        self.q, self.k, self.v = (Linear(shape.dim, shape.out) for _ in range(3))
        self.pool_q = Pool(width, shape.heads, shape.query_kernel, shape.query_stride)
        self.pool_k = Pool(width, shape.heads, shape.key_kernel, shape.key_stride)
        self.pool_v = Pool(width, shape.heads, shape.key_kernel, shape.key_stride)
        frequency, time = map(Axis, shape.grid, shape.query_stride, shape.key_stride)
        self.relative = RelativePositions(width, (frequency, time), shape.positions) if shape.relative else None
        self.out = Linear(shape.out, shape.out)

    def forward(self, x: Tensor, grid: Size) -> Tensor:
        """(batch, front + cells, dim) -> (batch, front + pooled cells, out)."""
        front = x.shape[1] - grid[0] * grid[1]
        q, k, v = self.pool_q(self.q(x), grid), self.pool_k(self.k(x), grid), self.pool_v(self.v(x), grid)
        bias = None
        if self.relative is not None:
            bias = F.pad(self.relative(q[:, :, front:], grid), (front, 0, front, 0))
        attended = attend(q, k, v, bias)
        cells = q[:, :, front:] + attended[:, :, front:]
        attended = torch.cat([attended[:, :, :front], cells], dim=2) if front else cells
        return self.out(attended.transpose(1, 2).flatten(2))


class PooledBlock(ResidualBlock):
    """One pre-norm block. Where it makes the grid coarser or the tokens wider, its shortcut does the same."""

    def __init__(self, shape: Shape, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.stride = shape.query_stride
        self.attention_norm = nn.LayerNorm(shape.dim, eps=1e-6)
        self.attention = PooledAttention(shape)
        self.shortcut = Linear(shape.dim, shape.out) if shape.out != shape.dim else None
        self.mlp_norm = nn.LayerNorm(shape.out, eps=1e-6)
        self.mlp = Mlp(shape.out, hidden(shape.out, mlp_ratio))

    def forward(self, x: Tensor, grid: Size) -> Tensor:
        """(batch, front + cells, dim) -> (batch, front + pooled cells, out)."""
        normed = self.attention_norm(x)
        x = self._pooled(x if self.shortcut is None else self.shortcut(normed), grid)
        x = self.add(x, self.attention(normed, grid))
        return self.add(x, self.mlp(self.mlp_norm(x)))

    def _pooled(self, x: Tensor, grid: Size) -> Tensor:
        """The shortcut, max-pooled to the grid of the queries.

        An odd stride that divides the grid gives one cell more than there are queries, which is cut off.
        """
        if self.stride == (1, 1):
            return x
        front = x.shape[1] - grid[0] * grid[1]
        kernel = tuple(s + 1 if s > 1 else 1 for s in self.stride)
        padding = tuple(k // 2 for k in kernel)
        rows, columns = pooled_size(grid, self.stride)
        largest = F.max_pool2d(as_image(x[:, front:], grid), kernel, self.stride, padding)
        return as_tokens(x[:, :front], largest[:, :, :rows, :columns])
