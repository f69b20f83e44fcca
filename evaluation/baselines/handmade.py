"""Hand-made statistics, 1 024 values without a network: what a model has to beat before its training is worth anything.

A scene holds two parts. The log-frequency spectrum has 36 bins an octave from 55 Hz to 7 kHz, of windows of 256 ms: the
logarithm of the mean power, and the deviation of the logarithm over time. The modulation statistics are of 40 log-mel
bands each 10 ms: how much each band changes at which pace, how it jumps from frame to frame, and how loud it is.
A timestamp, each 40 ms, is that of the log-mel baseline.
"""

import torch
from torch import Tensor, nn

from hear_audioformer.embedder import Embedder
from hear_audioformer.fusion.statistics import RATE, LogFrequency, Modulation

from .logmel import AROUND, HOP_MS, LogMelFrames

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


class Handmade(nn.Module):
    """Both parts side by side for scenes; the log-mel baseline's frames for timestamps."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrum, self.modulation = LogFrequency(), Modulation()
        self.times = Embedder(LogMelFrames(AROUND), hop_ms=HOP_MS, precision="fp32")
        self.sample_rate = RATE
        self.scene_embedding_size = self.spectrum.scene_embedding_size + self.modulation.scene_embedding_size
        self.timestamp_embedding_size = self.times.timestamp_embedding_size

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms (clips, samples) -> (clips, scene_embedding_size), on the device that the audio is on."""
        return torch.cat([self.spectrum(audio), self.modulation(audio)], dim=1)


def get_scene_embeddings(audio: Tensor, model: Handmade) -> Tensor:
    """HEAR: (n_sounds, model.scene_embedding_size)."""
    return model(audio)


def get_timestamp_embeddings(audio: Tensor, model: Handmade) -> tuple[Tensor, Tensor]:
    """HEAR: (n_sounds, n_timestamps, model.timestamp_embedding_size), and centres in ms, (n_sounds, n_timestamps)."""
    return model.times.timestamps(audio)


def load_model(source: str = "") -> Handmade:
    """HEAR: the baseline; it has no weights, so any ``source`` will do."""
    return Handmade().eval()
