"""Mixed precision that leaves sound alone: the network is autocast, crops and what is computed from them are not.

Lightning rounds every input of a module to the low precision first. A waveform so rounded carries noise 50 dB below
its own level, which is all that a quiet crop's upper bands consist of, and which the logarithm then blows up.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.fabric.plugins.precision import MixedPrecision


class Mixed(MixedPrecision):
    """Lightning's autocast, without its rounding of the inputs."""

    def convert_input(self, data: Any) -> Any:
        return data


def plugin(precision: str) -> Mixed | None:
    """What a Fabric is to be given for a recipe's precision, in place of its name; None where the name will do."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "16-mixed" and kind == "cpu":
        raise ValueError("precision=16-mixed needs a GPU: choose bf16-mixed, or 32-true")
    return Mixed(precision, kind) if precision in ("16-mixed", "bf16-mixed") else None  # type: ignore[arg-type]


def exact(kind: str) -> AbstractContextManager[Any]:
    """Without autocast on a kind of device, for features: their logarithm comes first, rounding after it."""
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
