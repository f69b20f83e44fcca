"""A model as one module without options, control flow or batches of its own: what is traced and exported."""

import torch
from torch import Tensor

from ..embedder import Embedder
from .front import exportable, whole_features
from .trace import Traceable
from .windows import FreeGrid, encoded


class Graph(Traceable):
    """Waveforms (batch, samples) -> scene embeddings (batch, size), or frames and their centres in milliseconds.

    Args:
        embedder: the model with the options to export; its precision is not used, a graph is float32.
        timestamps: whether it gives ``(frames, timestamps)``, (batch, frames, dim) and (batch, frames).

    Attributes:
        window: samples of a window.
    """

    def __init__(self, embedder: Embedder, timestamps: bool = False) -> None:
        super().__init__()
        if embedder.fast:
            raise ValueError('hop="fast" is not exported; pass hop="exact"')
        self.encoder = exportable(embedder.encoder)
        self.layers, self.pool, self.step = embedder.layers, embedder.pool, embedder.step
        self.timestamps = timestamps
        self.window = embedder.encoder.window

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        features = whole_features(self.encoder, audio)
        if not self.timestamps:
            return self._pooled(features)
        geometry, samples = self.encoder.geometry, audio.shape[1]
        grid = FreeGrid.centred(geometry, samples, self.step)
        frames = self._encoded(features, grid)
        return frames, grid.timestamps(geometry, samples).expand(audio.shape[0], -1).clone()

    def _pooled(self, features: Tensor) -> Tensor:
        """The scene embedding; the deviation is that of the package, computed without its float64 sums."""
        vectors = self._encoded(features, FreeGrid.native(self.encoder.geometry, features.shape[1]))
        mean = vectors.mean(1)
        if self.pool != "mean+std":
            return mean
        return torch.cat([mean, (vectors - mean[:, None]).square().mean(1).sqrt()], dim=-1)

    def _encoded(self, features: Tensor, grid: FreeGrid) -> Tensor:
        encoder = self.encoder

        def encode(windows: Tensor) -> Tensor:
            if self.timestamps:
                layers = encoder.encode_layers(windows, self.layers)
            else:
                layers = encoder.pooled_layers(windows, self.layers, self.pool)
            return torch.cat(list(layers), dim=-1)

        return encoded(encoder.geometry, features, grid, encode, silence=encoder.silence, pad_short=encoder.pad_short)
