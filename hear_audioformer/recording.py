"""One call for one recording."""

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from . import audio as audio_files
from .clips import group_of, waveform_of
from .model import Model
from .weights import cached_model


def embed(
    audio: str | Path | Tensor | np.ndarray,
    model: str | Path | nn.Module = "",
    *,
    sample_rate: int | None = None,
    **options: Any,
) -> Tensor:
    """One vector for a recording: (scene_embedding_size,), float32.

    Args:
        audio: a file, or a mono waveform (samples,) of floats in [-1, 1] with its ``sample_rate``.
        model: a loaded model, or what ``load_model`` takes; the default model if empty. A compiled model runs
            uncompiled.
        sample_rate: of a waveform, in Hz; a file says its own.
        options: those of ``load_model``; none with a loaded model.
    """
    embedder = _embedder(model, options)
    if isinstance(audio, (str, os.PathLike)):
        if sample_rate is not None:
            raise ValueError(f"sample_rate={sample_rate}: a file says its own rate; pass it with a waveform only")
        waveform = audio_files.read(Path(audio), embedder.sample_rate)
    elif sample_rate is None:
        raise ValueError("pass sample_rate=... with a waveform, so that it can be resampled to the model's rate")
    else:
        rate = audio_files.checked_rate(sample_rate)
        checked, _ = group_of(waveform_of(audio)[None])
        waveform = audio_files.resample(checked[0], rate, embedder.sample_rate)
    return embedder.scene(waveform[None])[0]


def _embedder(model: str | Path | nn.Module, options: dict[str, Any]) -> Model:
    """A loaded model, or the model of a name and options."""
    if isinstance(model, (str, os.PathLike)):
        return cached_model(str(model), tuple(sorted((name, _frozen(name, value)) for name, value in options.items())))
    embedder = getattr(model, "_orig_mod", model)  # torch.compile keeps the model there
    if not isinstance(embedder, Model):
        raise TypeError(f"model is a {type(model).__name__}: pass a model of load_model, or a name or path")
    if options:
        raise TypeError(f"{', '.join(options)}: options of load_model, but this model is loaded: pass them there")
    return embedder


def _frozen(name: str, value: Any) -> Hashable:
    """An option as a key of the cache: lists and arrays as tuples."""
    value = value.tolist() if isinstance(value, (np.ndarray, Tensor)) else value
    if isinstance(value, (list, tuple, range)):
        return tuple(_frozen(name, inner) for inner in value)
    if not isinstance(value, Hashable):
        raise TypeError(f"{name}={value!r}: no option is a {type(value).__name__}")
    return value
