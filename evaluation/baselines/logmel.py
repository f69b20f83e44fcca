"""A baseline of log-mel statistics, without any learning.

A scene embedding is the mean and the standard deviation over time of 64 log-mel bands. A timestamp embedding, every
40 ms, is the sixteen log-mel frames around it, as many as one patch of MSM-MAE covers.
"""

from torch import Tensor

from hear_audioformer.embedder import Statistics
from hear_audioformer.features import LogMel
from hear_audioformer.windows import Geometry

from .stack import Plain, TwoEncoders, constant, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

RATE, BANDS, AROUND, HOP_MS = 16000, 64, 16, 40
MEAN, STD = -7.1, 4.2  # roughly those of log-mels; padding counts as the mean


class LogMelFrames(Plain):
    """``patch`` log-mel frames of 10 ms at a time."""

    pool = "mean+std"

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.front = LogMel(RATE, BANDS)
        self.mean, self.std = constant(MEAN), constant(STD)
        self.sample_rate, self.hop, self.dim = RATE, patch * self.front.hop, patch * BANDS
        self.geometry = Geometry(RATE, self.front.hop, self.front.origin, patch, columns=1024 // patch)
        self.window = 1024 * self.front.hop

    def count(self, samples: int) -> int:
        return self.front.count(samples)

    def features(self, audio: Tensor, start: int, stop: int, statistics: Statistics = None) -> Tensor:
        return (self.front(audio, start, stop) - self.mean) / self.std


def load_model(source: str = "") -> TwoEncoders:
    """HEAR: the baseline; it has no weights, so any ``source`` will do."""
    return TwoEncoders(LogMelFrames(1), LogMelFrames(AROUND), HOP_MS).eval()
