"""Other people's code that ours is held against, where it can be loaded."""

import importlib
from types import ModuleType

import pytest


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
