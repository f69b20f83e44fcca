"""scikit-learn: a transformer step from recordings to vectors, for pipelines and grid searches.

pipeline = make_pipeline(AudioEmbedder(), StandardScaler(), LogisticRegression())
pipeline.fit(paths, labels)
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import validate_data

from .. import audio
from ..model import Model
from ..weights import cached_model


class AudioEmbedder(TransformerMixin, BaseEstimator):
    """Recordings -> vectors, (recordings, scene_embedding_size), float32. ``fit`` learns nothing.

    Args:
        model: what ``load_model`` takes; the default model if empty.
        sample_rate: of arrays of waveforms, in Hz; the model's if None. Files say their own.
        pool, layers: as of ``load_model``.
        device: where the model runs.
        batch_size: recordings that are read at a time; it bounds the memory for audio.
    """

    def __init__(
        self,
        model: str = "",
        *,
        sample_rate: int | None = None,
        pool: str | None = None,
        layers: Sequence[int] | None = None,
        device: str = "cpu",
        batch_size: int = 16,
    ) -> None:
        self.model = model
        self.sample_rate = sample_rate
        self.pool = pool
        self.layers = layers
        self.device = device
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None) -> "AudioEmbedder":  # noqa: N803 - scikit-learn's name
        """Checks the input; ``X`` is a list of paths, or waveforms (recordings, samples) of floats in [-1, 1]."""
        if not _are_paths(X):
            validate_data(self, X, dtype=np.float32)
        self.n_features_out_ = self._embedder().scene_embedding_size
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """The vectors of paths or of waveforms, in their order."""
        embedder = self._embedder()
        rows = list(X) if _are_paths(X) else validate_data(self, X, dtype=np.float32, reset=False)
        vectors = [
            embedder.scene([self._waveform(row, embedder.sample_rate) for row in rows[start : start + self.batch_size]])
            for start in range(0, len(rows), self.batch_size)
        ]
        return torch.cat(vectors).numpy()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns."""
        size = self._embedder().scene_embedding_size
        return np.array([f"audioembedder{column}" for column in range(size)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []  # float32 in any case
        return tags

    def _embedder(self) -> Model:
        options = {"pool": self.pool, "layers": None if self.layers is None else tuple(self.layers)}
        given = tuple((name, value) for name, value in options.items() if value is not None)
        return cached_model(str(self.model), given).to(self.device)

    def _waveform(self, row: Any, sample_rate: int) -> torch.Tensor:
        if isinstance(row, (str, os.PathLike)):
            return audio.read(Path(row), sample_rate)
        own = sample_rate if self.sample_rate is None else audio.checked_rate(self.sample_rate)
        return audio.resample(torch.from_numpy(np.ascontiguousarray(row)), own, sample_rate)


def _are_paths(X: Any) -> bool:  # noqa: N803
    """Whether an input is a list of paths."""
    if issparse(X) or (isinstance(X, np.ndarray) and X.dtype.kind not in "OU"):
        return False
    try:
        first = next(iter(X))
    except (TypeError, StopIteration):
        return False
    return isinstance(first, (str, os.PathLike))
