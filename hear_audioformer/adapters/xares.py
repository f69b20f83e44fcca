"""X-ARES: an encoder that its runner builds without arguments.

    HEAR_AUDIOFORMER_MODEL=msm-mae-tiny python -m xares.run hear_audioformer/adapters/xares.py src/tasks/*.py

X-ARES imports this file, takes its only class whose name ends in "Encoder", and averages the frames over each clip. So
pooling by mean and standard deviation plays no part there.
"""

import os
from typing import Any

import torch
from torch import Tensor, nn

from .. import weights as _weights

MODEL = "HEAR_AUDIOFORMER_MODEL"  # the variable that names the model: what load_model takes


class HearAudioformerEncoder(nn.Module):
    """Waveforms (batch, samples) at ``sampling_rate`` -> frames (batch, frames, output_dim), one each hop."""

    def __init__(self, model: str | None = None, **options: Any) -> None:
        super().__init__()
        self.model = _weights.load_model(os.environ.get(MODEL, "") if model is None else model, **options)
        self.sampling_rate = self.model.sample_rate
        self.output_dim = self.model.timestamp_embedding_size
        self.hop_size_in_ms = self.model.hop_ms

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """The timestamps' embeddings."""
        frames, _ = self.model.timestamps(audio)
        return frames
