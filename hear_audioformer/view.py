"""A view of an encoder for inference: other module objects around the same weights, all in evaluation mode.

Inference must not change the mode of an encoder, because a training loop or another thread may use it meanwhile. So it
makes new modules that share the encoder's dictionaries of parameters and buffers. This takes microseconds a module and
copies no weight.
"""

from typing import TypeVar

import torch
from torch import nn

from .layers import Linear

Module = TypeVar("Module", bound=nn.Module)


def evaluated(module: Module, dtype: torch.dtype = torch.float32) -> Module:
    """A view of a module in evaluation mode, its ``Linear`` layers cast to ``dtype`` if that is not float32.

    Later changes of the module's weights show in the view, except in weights that were cast. Hooks are shared. A module
    that was compiled in place runs uncompiled in the view. Attributes that a forward sets on the view are lost with it.
    Modules that are not registered as children are not replaced.
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
