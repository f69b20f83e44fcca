"""EVAR (nttcslab/eval-audio-repr): an audio representation, to be copied or imported as evar/ar_hear_audioformer.py.

    # evar/ar_hear_audioformer.py
    from hear_audioformer.adapters.evar import AR_HearAudioformer

    # config/hear_audioformer.yaml, beside the keys of EVAR's linear evaluation
    audio_repr: ar_hear_audioformer.AR_HearAudioformer
    weight_file: msm-mae-tiny
    sample_rate: 16000
    feature_d: 1920

EVAR is no package of PyPI: this follows the interface of its ``evar/ar_base.py``.
"""

from typing import Any

from evar.ar_base import BaseAudioRepr
from torch import Tensor

from .. import weights


class AR_HearAudioformer(BaseAudioRepr):  # noqa: N801 - EVAR's way of naming
    """``forward``: (batch, samples) -> (batch, dim); ``encode_frames``: -> (batch, dim, frames)."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg=cfg)
        self.model = weights.load_model(self.cfg.weight_file or "")
        if self.cfg.sample_rate != self.model.sample_rate:
            raise ValueError(f"sample_rate: {self.cfg.sample_rate} in the configuration; set {self.model.sample_rate}")
        if self.cfg.feature_d != self.model.scene_embedding_size:
            raise ValueError(
                f"feature_d: {self.cfg.feature_d} in the configuration; set {self.model.scene_embedding_size}"
            )

    def encode_frames(self, batch_audio: Tensor) -> Tensor:
        """The timestamps' embeddings, dimension before time, as EVAR has it."""
        frames, _ = self.model.timestamps(batch_audio)
        return frames.transpose(1, 2)

    def forward(self, batch_audio: Tensor) -> Tensor:
        """Scene embeddings."""
        return self.model.scene(batch_audio)
