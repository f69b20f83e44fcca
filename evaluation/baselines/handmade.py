"""Hand-made statistics, 1 974 values without a network: what a model has to beat before its training is worth anything.

A scene is that of all front ends of a fusion, side by side (docs/fusion.md): log-frequency spectrum, modulation of
bands, their course over the clip, Gabor filters of rates and scales, how cepstral coefficients change together. A
timestamp, each 40 ms, is that of the log-mel baseline.
"""

import torch
from torch import Tensor, nn

from hear_audioformer.embedder import Embedder
from hear_audioformer.fusion.fusion import FRONTS
from hear_audioformer.fusion.statistics import RATE

from .logmel import AROUND, HOP_MS, LogMelFrames

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


class Handmade(nn.Module):
    """All front ends side by side for scenes; the log-mel baseline's frames for timestamps."""

    def __init__(self) -> None:
        super().__init__()
        self.fronts = nn.ModuleList(front() for front in FRONTS.values())
        self.times = Embedder(LogMelFrames(AROUND), hop_ms=HOP_MS, precision="fp32")
        self.sample_rate = RATE
        self.scene_embedding_size = sum(front.scene_embedding_size for front in self.fronts)  # type: ignore[misc]
        self.timestamp_embedding_size = self.times.timestamp_embedding_size

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms (clips, samples) -> (clips, scene_embedding_size), on the device that the audio is on."""
        return torch.cat([front(audio) for front in self.fronts], dim=1)


def get_scene_embeddings(audio: Tensor, model: Handmade) -> Tensor:
    """HEAR: (n_sounds, model.scene_embedding_size)."""
    return model(audio)


def get_timestamp_embeddings(audio: Tensor, model: Handmade) -> tuple[Tensor, Tensor]:
    """HEAR: (n_sounds, n_timestamps, model.timestamp_embedding_size), and centres in ms, (n_sounds, n_timestamps)."""
    return model.times.timestamps(audio)


def load_model(source: str = "") -> Handmade:
    """HEAR: the baseline; it has no weights, so any ``source`` will do."""
    return Handmade().eval()
