"""HEAR's naive baseline, re-implemented from its description: a log-mel spectrum times a random matrix.

A fixed Gaussian matrix projects 256 mel bands of 93-ms frames at 44.1 kHz to 4096 values. A scene embedding is the mean
over frames with a hop of 250 ms; timestamps have a hop of 50 ms (Turian et al., "HEAR: Holistic Evaluation of Audio
Representations", 2022).
"""

import torch
from torch import Tensor

from hear_audioformer.encoder import ClipContext
from hear_audioformer.features import slaney_filters
from hear_audioformer.windows import Geometry

from .stack import Config, Plain, TwoEncoders, constant, get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

RATE, N_FFT, BANDS, DIM = 44100, 4096, 256, 4096
EPSILON = 1e-4
SCENE_HOP_MS, HOP_MS = 250, 50


class ProjectedLogMel(Plain):
    """Centred frames with a hop of ``hop_ms`` and reflected edges."""

    window_fft: Tensor
    filters: Tensor

    def __init__(self, hop_ms: int, seed: int) -> None:
        super().__init__(Config(DIM), Geometry(RATE, RATE * hop_ms // 1000, 0, 1, columns=64))
        projection = torch.randn(BANDS, DIM, generator=torch.Generator().manual_seed(seed)) / BANDS**0.5
        self.projection = constant(projection)
        self.register_buffer("window_fft", torch.hann_window(N_FFT))
        self.register_buffer("filters", slaney_filters(RATE, N_FFT, BANDS, 0.0).float())

    def count(self, samples: int) -> int:
        return samples // self.geometry.step + 1

    def features(self, audio: Tensor, start: int, stop: int, clip_context: ClipContext = None) -> Tensor:
        """(batch, samples) -> projected frames start..stop, (batch, stop - start, 4096)."""
        half, step, last = N_FFT // 2, self.geometry.step, max(audio.shape[1] - 1, 1)
        centres = step * torch.arange(start, stop, device=audio.device)
        places = (centres[:, None] + torch.arange(-half, half, device=audio.device)) % (2 * last)
        places = last - (last - places).abs()  # reflects as often as a short clip needs
        frames = audio[:, places.clamp(max=audio.shape[1] - 1)].to(self.filters.device)
        spectrum = torch.fft.rfft(frames * self.window_fft).abs().square()
        return (spectrum @ self.filters + EPSILON).log() @ self.projection


def load_model(source: str = "", seed: int = 0) -> TwoEncoders:
    """HEAR: the baseline; it has no weights, so any ``source`` will do."""
    return TwoEncoders(ProjectedLogMel(SCENE_HOP_MS, seed), ProjectedLogMel(HOP_MS, seed), HOP_MS).eval()
