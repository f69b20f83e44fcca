"""Audio embeddings: four methods behind the HEAR API, with weights that work out of the box.

>>> import hear_audioformer
>>> hear_audioformer.embed("recording.wav").shape            # a vector for a file

>>> model = hear_audioformer.load_model()                    # HEAR: the default model
>>> hear_audioformer.get_scene_embeddings(audio, model)      # (n_sounds, model.scene_embedding_size)
>>> hear_audioformer.get_timestamp_embeddings(audio, model)  # ..., and the frames' centres in ms
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import audio as _audio
from .embedder import Embedder, Encoder, get_scene_embeddings, get_timestamp_embeddings
from .weights import WeightsError, cached_model, list_models, load_model

__version__ = "0.1.0"
__all__ = [
    "Embedder",
    "Encoder",
    "WeightsError",
    "embed",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "list_models",
    "load_model",
]


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
        waveform = _audio.read(audio, embedder.sample_rate)
    elif sample_rate is None:
        raise ValueError("pass sample_rate=... with a waveform, so that it can be resampled to the model's rate")
    else:
        waveform = _audio.resample(torch.as_tensor(audio), sample_rate, embedder.sample_rate)
    return embedder.scene(waveform[None])[0]
