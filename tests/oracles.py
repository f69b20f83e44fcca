"""What tests need of other people's code, where it is there: oracles that ours is held against, a safe unpickler."""

import importlib
from types import ModuleType

import pytest
import torch

TORCH = tuple(map(int, torch.__version__.split(".")[:2]))
needs_pickles = pytest.mark.skipif(TORCH < (2, 10), reason="the package opens no pickle before torch 2.10")


def torchaudio_functional() -> ModuleType:
    """``torchaudio.functional``; where torchaudio is missing or does not fit this torch, the test is skipped."""
    return _torchaudio("functional")


def torchaudio_kaldi() -> ModuleType:
    """``torchaudio.compliance.kaldi``, likewise."""
    return _torchaudio("compliance.kaldi")


def torchaudio_transforms() -> ModuleType:
    """``torchaudio.transforms``, likewise."""
    return _torchaudio("transforms")


def _torchaudio(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"torchaudio.{name}")
    except (ImportError, OSError) as error:  # OSError: a library with symbols that this torch does not have
        pytest.skip(f"oracle torchaudio cannot be loaded here: {str(error).splitlines()[0]}")
