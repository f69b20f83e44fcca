"""A view of an encoder for inference: the same weights in modules of its own, all in evaluation mode.

A training loop may hold the same encoder, and another thread may be in the middle of it: so inference reads and
changes no module's mode. It walks the encoder's tree and makes new modules around the very same tables of parameters
and buffers. That costs microseconds a module, and no weight is copied.
"""

from typing import TypeVar

import torch
from torch import nn

from .layers import Linear

Module = TypeVar("Module", bound=nn.Module)


def evaluated(module: Module, dtype: torch.dtype = torch.float32) -> Module:
    """A view of a module in evaluation mode, its ``Linear`` layers cast to ``dtype`` if that is not float32.

    Whatever is done to the module's weights shows in the view, but for those that were cast: these are as the weights
    were when the view was made. Hooks are shared. A module that was compiled in place runs as it is written, for its
    compiled form belongs to the original. What a forward writes on a module is gone with the view, and modules that a
    module keeps anywhere but among its children stay themselves.
    """
    view = object.__new__(type(module))
    view.__dict__ = module.__dict__.copy()
    view.__dict__.update(training=False, _compiled_call_impl=None)
    view.__dict__["_modules"] = {
        name: child if child is None else evaluated(child, dtype) for name, child in module._modules.items()
    }
    if isinstance(module, Linear) and dtype != torch.float32:
        view.__dict__["_parameters"] = {
            name: weight if weight is None else weight.detach().to(dtype) for name, weight in module._parameters.items()
        }
    return view
