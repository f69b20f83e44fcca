"""oneDNN's float32 linear layers, for inference on the processors where they beat MKL's.

MKL picks its kernels by the maker of the processor. On AMD's with AVX2 (Zen 2 and 3) oneDNN's are 1.1 to 1.5 times as
fast on the shapes of a transformer (docs/speed.md). On other processors nothing changes. The two differ by float32
rounding, and the choice depends on the processor alone, so a machine always gives the same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

CPUINFO = Path("/proc/cpuinfo")
_chosen: bool | None = None


@cache
def preferred() -> bool:
    """Whether this processor is one where oneDNN's kernels win."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX2":
        return False
    try:
        return "AuthenticAMD" in CPUINFO.read_text()[:4096]
    except OSError:  # no such file but on Linux
        return False


@contextmanager
def chosen(use: bool) -> Iterator[None]:
    """Uses oneDNN's kernels inside, or does not, whatever the processor; for comparisons."""
    global _chosen
    before, _chosen = _chosen, use
    try:
        yield
    finally:
        _chosen = before


def serves(x: Tensor, weight: Tensor) -> bool:
    """Whether a linear layer is to run here: float32 inference on a CPU, outside of compilers and autocast."""
    return (
        not torch.compiler.is_compiling()
        and (preferred() if _chosen is None else _chosen)
        and not torch.is_grad_enabled()
        and type(x) is Tensor
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none") -> Tensor:
    """A linear layer, (..., in) -> (..., out), followed by an exact GELU if ``activation`` is "gelu"."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")
    return result
