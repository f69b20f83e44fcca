"""The methods that a recipe can name: the module of the encoder, its objective, its initial weights.

AST is not a method of the package but MAST's baseline. It has MAST's objective.
"""

import importlib
from types import ModuleType
from typing import Any, cast

import torch

from evaluation.baselines import ast
from hear_audioformer import weights
from hear_audioformer.encoder import Encoder, Method

LEARNS_AS = {ast.METHOD: "mast"}


def module_of(method: str) -> Method:
    """The module of a method, or of a part."""
    return cast(Method, ast) if method == ast.METHOD else weights.method_module(method)


def objective_of(method: str, stage: str = "first") -> ModuleType:
    """The module of an objective, with ``build`` and ``initialise``; of a method, or of a part such as a codec.

    The stage "labels" has the same one for every method, without ``initialise``.
    """
    if stage == "labels":
        return importlib.import_module(".objectives.labels", __package__)
    method = LEARNS_AS.get(method, method)
    modules = weights.METHODS | weights.PARTS
    return importlib.import_module(f".objectives.{modules[method]}", __package__)


def fresh(method: str, config: dict[str, Any], seed: int) -> Encoder:
    """An encoder of a configuration with the initial weights of training."""
    torch.manual_seed(seed)
    encoder = module_of(method).build(config)
    assert isinstance(encoder, Encoder), f"{method} is a part, not a method"
    objective_of(method).initialise(encoder)
    return encoder


def sized(name: str) -> tuple[str, dict[str, Any]] | None:
    """Method and configuration of ``METHOD-SIZE``, such as ``mast-base``; None for the name of a model, or no size."""
    method, _, size = name.rpartition("-")
    if name in weights.list_models() or method not in weights.METHODS:
        return None
    module = module_of(method)
    return (method, vars(module.Config.of_size(size))) if size in module.SIZES else None
