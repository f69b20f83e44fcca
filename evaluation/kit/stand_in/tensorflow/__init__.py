"""Stands in for TensorFlow, so that checking a torch model against the HEAR tools does not take half a gigabyte of it.

The tools import TensorFlow whatever the model, to ask "is it a ``tf.Module``?" and, beside a GPU, "do you see it too?".
``einops``, once it finds a TensorFlow loaded, asks whether a tensor is one of its. The answers here are those that the
real one gives for a torch model; anything more fails, as it should.
"""

from types import SimpleNamespace
from typing import Any


class Module:
    """So that no torch model is an instance of it."""


class Tensor:
    """So that no torch tensor is an instance of it."""


class Variable:
    """So that no torch parameter is an instance of it."""


def _is_gpu_available(*_: Any, **__: Any) -> bool:
    """True, because heareval gives up where torch sees a GPU that TensorFlow does not, and asks only then."""
    return True


test = SimpleNamespace(is_gpu_available=_is_gpu_available)
