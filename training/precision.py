"""Mixed precision that leaves sound alone: the network is autocast, crops and what is computed from them are not.

Lightning rounds every input of a module to the low precision first. A waveform so rounded carries noise 50 dB below
its own level, which is all that a quiet crop's upper bands consist of, and which the logarithm then blows up.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import torch
from lightning.fabric.plugins.precision import MixedPrecision

R = TypeVar("R", bound=Any)  # a recipe of pretraining or of fine-tuning
SIDE = 384  # of the matrices that are tried


class Mixed(MixedPrecision):
    """Lightning's autocast, without its rounding of the inputs."""

    def convert_input(self, data: Any) -> Any:
        return data


def settled(recipe: R) -> R:
    """A recipe whose precision is named: "auto" is bfloat16 where this device multiplies faster in it, else float32.

    The run keeps the name, so on another machine it goes on only in the same precision.
    """
    if recipe.precision != "auto":
        return recipe
    chosen = "bf16-mixed" if fast_in_bf16() else "32-true"
    return replace(recipe, precision=chosen, raw={**recipe.raw, "precision": chosen})


def fast_in_bf16() -> bool:
    """Whether this machine has units for products in bfloat16; a CPU without them may take a hundred times as long."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """Of a product of this kind on the CPU, the best of three."""
    matrix = torch.randn(SIDE, SIDE).to(dtype)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - began)
    return min(taken)


def plugin(precision: str) -> Mixed | None:
    """What a Fabric is to be given for a recipe's precision, in place of its name; None where the name will do."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "16-mixed" and kind == "cpu":
        raise ValueError("precision=16-mixed needs a GPU: choose bf16-mixed, or 32-true")
    return Mixed(precision, kind) if precision in ("16-mixed", "bf16-mixed") else None  # type: ignore[arg-type]


def exact(kind: str) -> AbstractContextManager[Any]:
    """Without autocast on a kind of device, for features: their logarithm comes first, rounding after it."""
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
