"""A baseline of log-mel statistics, without any learning.

A scene embedding is the mean and the standard deviation over time of 64 log-mel bands. A timestamp embedding, every
40 ms, is the sixteen log-mel frames around it, as many as one patch of MSM-MAE covers.
"""

from torch import Tensor

from hear_audioformer.encoder import ClipContext
from hear_audioformer.features import LOG_MEL, LogMel
from hear_audioformer.windows import Geometry

from .stack import Config, Plain, TwoEncoders, constant, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

RATE, BANDS, AROUND, HOP_MS = 16000, 64, 16, 40


class LogMelFrames(Plain):
    """``patch`` log-mel frames of 10 ms at a time."""

    def __init__(self, patch: int) -> None:
        front = LogMel(RATE, BANDS)
        geometry = Geometry(RATE, front.hop, front.origin, patch, columns=1024 // patch)
        super().__init__(Config(patch * BANDS, pool="mean+std"), geometry)
        self.front = front
        self.mean, self.std = constant(LOG_MEL.mean), constant(LOG_MEL.std)

    def count(self, samples: int) -> int:
        return self.front.count(samples)

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        return (self.front(audio, start, stop) - self.mean) / self.std


def load_model(source: str = "") -> TwoEncoders:
    """HEAR: the baseline; it has no weights, so any ``source`` will do."""
    return TwoEncoders(LogMelFrames(1), LogMelFrames(AROUND), HOP_MS).eval()
