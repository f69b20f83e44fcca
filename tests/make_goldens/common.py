"""What the makers share: drawing weights, writing a file, the layers of a pre-norm vision transformer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]


class Draws:
    """Numbers from one seed: float32 values, kept in float64."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, std: float = 1.0, mean: float = 0.0) -> Tensor:
        return (mean + std * torch.randn(*shape, generator=self.generator)).float().double()

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator).double()

    def integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=self.generator))

    def linear(self, name: str, outputs: int, inputs: int, bias: bool = True) -> Weights:
        made = {f"{name}.weight": self.normal(outputs, inputs, std=inputs**-0.5)}
        return {**made, f"{name}.bias": self.normal(outputs, std=0.1)} if bias else made

    def norm(self, name: str, width: int) -> Weights:
        return {f"{name}.weight": self.normal(width, std=0.1, mean=1.0), f"{name}.bias": self.normal(width, std=0.1)}

    def sound(self, clips: int, samples: int, rate: int) -> Tensor:
        """Noise under tones of rising level: every clip differs, and no band is quiet."""
        time = torch.arange(samples, dtype=torch.float64) / rate
        pitch = 200.0 * (1 + torch.arange(clips, dtype=torch.float64))[:, None]
        tone = 0.2 * torch.sin(2 * torch.pi * pitch * time) * (0.3 + time / max(float(time[-1]), 1e-9))
        return (tone + self.normal(clips, samples, std=0.05)).float().double()


def save(folder: Path, name: str, config: Mapping[str, Any], arrays: Mapping[str, Any], exact: bool = False) -> None:
    """Writes a file: real numbers as float32 unless ``exact``."""
    held = {}
    for key, value in arrays.items():
        array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        keep = exact or array.dtype != np.float64 or "sched_" in key or key.endswith("_fraction") or key == "loss"
        held[key] = array if keep else array.astype(np.float32)
    np.savez(folder / f"{name}.npz", config=json.dumps(config), **held)


def linear(x: Tensor, p: Weights, name: str) -> Tensor:
    return F.linear(x, p[f"{name}.weight"], p.get(f"{name}.bias"))


def norm(x: Tensor, p: Weights, name: str, epsilon: float = 1e-6) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / (variance + epsilon).sqrt() * p[f"{name}.weight"] + p[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def heads_of(x: Tensor, heads: int) -> Tensor:
    """(batch, tokens, width) -> (batch, heads, tokens, width of a head)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """Of heads, merged again."""
    seen = (q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v
    return seen.transpose(1, 2).flatten(2)


def draw_block(d: Draws, name: str, width: int, hidden: int, split: bool = False) -> Weights:
    """A block's weights under timm's names; ``split`` has biases for queries and values alone."""
    made = {**d.norm(f"{name}.norm1", width), **d.linear(f"{name}.attn.qkv", 3 * width, width, bias=not split)}
    if split:
        made |= {f"{name}.attn.{part}_bias": d.normal(width, std=0.1) for part in "qv"}
    made |= {**d.linear(f"{name}.attn.proj", width, width), **d.norm(f"{name}.norm2", width)}
    return {**made, **d.linear(f"{name}.mlp.fc1", hidden, width), **d.linear(f"{name}.mlp.fc2", width, hidden)}


def block(x: Tensor, p: Weights, name: str, heads: int) -> Tensor:
    width = x.shape[-1]
    qkv = linear(norm(x, p, f"{name}.norm1"), p, f"{name}.attn.qkv")
    if f"{name}.attn.q_bias" in p:
        zeros = torch.zeros(width, dtype=x.dtype)
        qkv = qkv + torch.cat([p[f"{name}.attn.q_bias"], zeros, p[f"{name}.attn.v_bias"]])
    q, k, v = (heads_of(part, heads) for part in qkv.split(width, dim=-1))
    x = x + linear(attention(q, k, v), p, f"{name}.attn.proj")
    return x + linear(gelu(linear(norm(x, p, f"{name}.norm2"), p, f"{name}.mlp.fc1")), p, f"{name}.mlp.fc2")
