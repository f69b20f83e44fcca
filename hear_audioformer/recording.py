"""One call for one recording."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import audio as audio_files
from .embedder import Embedder
from .weights import cached_model


def embed(
    audio: str | Path | Tensor, model: str | Embedder = "", *, sample_rate: int | None = None, **options: Any
) -> Tensor:
    """One vector for a recording: (scene_embedding_size,), float32.

    Args:
        audio: a file, or a mono waveform (samples,) with its ``sample_rate``.
        model: a loaded model, or what ``load_model`` takes; the default model if empty.
        options: those of ``load_model``.
    """
    embedder = model if isinstance(model, Embedder) else cached_model(str(model), tuple(sorted(options.items())))
    if isinstance(audio, (str, Path)):
        waveform = audio_files.read(audio, embedder.sample_rate)
    elif sample_rate is None:
        raise ValueError("pass sample_rate=... with a waveform, so that it can be resampled to the model's rate")
    else:
        waveform = audio_files.resample(torch.as_tensor(audio), sample_rate, embedder.sample_rate)
    return embedder.scene(waveform[None])[0]
