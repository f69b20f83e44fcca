"""Alternating rounds of several runs: what a busy machine does to one of them it does to all."""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
TOKENS, WIDTH = 1024, 768  # the products that a share is of: both layers of a base model's MLP


def seconds_of_rounds(
    runs: Mapping[str, Callable[[], object]], rounds: int, device: torch.device, clock: str = "wall"
) -> dict[str, list[float]]:
    """The seconds of each run in ``rounds`` alternating rounds, after a round that does not count."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    now = CLOCKS[clock]
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = now()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                took[name].append(now() - started)
    return took


def medians(took: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each run's seconds."""
    return {name: statistics.median(seconds) for name, seconds in took.items()}


class Products:
    """Nothing but matrix products of the size of a base model's MLP, by the fastest kernels that torch has for them."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.tokens = torch.randn(TOKENS, WIDTH, device=device).to(dtype)
        self.up = torch.randn(4 * WIDTH, WIDTH, device=device).to(dtype)
        self.down = torch.randn(WIDTH, 4 * WIDTH, device=device).to(dtype)
        self.flops = 2 * 2 * TOKENS * WIDTH * 4 * WIDTH

    @torch.no_grad()
    def plain(self) -> Tensor:
        """As torch does them: on a CPU by MKL."""
        return F.linear(F.linear(self.tokens, self.up), self.down)

    @torch.no_grad()
    def onednn(self) -> Tensor:
        """By oneDNN, on a CPU in float32; in bf16 torch takes oneDNN's by itself."""
        linear = torch.ops.mkldnn._linear_pointwise
        hidden = linear(self.tokens, self.up, None, "none", [], "none")
        result: Tensor = linear(hidden, self.down, None, "none", [], "none")
        return result

    def runs(self) -> dict[str, Callable[[], object]]:
        """All of them, by name."""
        plain: dict[str, Callable[[], object]] = {"products": self.plain}
        if (
            self.tokens.device.type == "cpu"
            and self.tokens.dtype == torch.float32
            and torch.backends.mkldnn.is_available()
        ):
            plain["products by oneDNN"] = self.onednn
        return plain


def seconds_of_process(code: str) -> float:
    """CPU seconds of a fresh Python that runs some code with one thread."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
