"""s3prl: an upstream, whose hidden states are the layers' frames.

    from hear_audioformer.adapters.s3prl import register
    from s3prl.nn import S3PRLUpstream

    register()
    model = S3PRLUpstream("hear_audioformer", path_or_url="msm-mae-tiny")

or, in a fork of s3prl, ``from hear_audioformer.adapters.s3prl import UpstreamExpert`` in upstream/NAME/expert.py. The
upstream is frozen: it gives no gradients, so s3prl's option to fine-tune upstreams has no effect.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from .. import audio, weights
from ..embedder import Embedder

SAMPLE_RATE = 16000  # of all audio in s3prl


class UpstreamExpert(nn.Module):
    """Waveforms at 16 kHz -> ``hidden_states``: for each layer (batch, frames, dim), zero past the end of a clip.

    Args:
        ckpt: what ``load_model`` takes; the default model if None.
        hop_ms: step between frames; by default the model's.
        options: others of ``load_model``; s3prl's own ones are left alone.
    """

    def __init__(self, ckpt: str | None = None, hop_ms: float | None = None, **options: Any) -> None:
        super().__init__()
        known = {name: value for name, value in options.items() if name in weights.EMBEDDER_OPTIONS}
        embedder = weights.load_model(ckpt or "", hop_ms=hop_ms, **known)
        self.widths = [embedder.timestamp_embedding_size]
        if isinstance(embedder, Embedder):  # a fusion has no layers
            encoder = embedder.encoder
            widths = {layer: encoder.layer_dim(layer) for layer in range(1, encoder.depth + 1)}
            if "layers" not in known and len(set(widths.values())) == 1:  # s3prl adds states, which must be as wide
                embedder = weights.load_model(ckpt or "", hop_ms=hop_ms, **known, layers=list(widths))
                self.widths = list(widths.values())
            elif len({widths[layer] for layer in embedder.layers}) == 1:
                self.widths = [widths[layer] for layer in embedder.layers]
        self.model = embedder
        rate = round(SAMPLE_RATE * embedder.hop_ms / 1000)
        if abs(rate - SAMPLE_RATE * embedder.hop_ms / 1000) > 1e-6:
            raise ValueError(
                f"hop_ms={embedder.hop_ms:g} is no whole number of samples at 16 kHz: choose another hop_ms"
            )
        self.rate = rate

    def get_downsample_rates(self, key: str) -> int:
        """Samples at 16 kHz from frame to frame, the same for all states."""
        return self.rate

    @torch.no_grad()
    def forward(self, wavs: list[Tensor]) -> dict[str, list[Tensor]]:
        """One frame for each ``rate`` samples that have begun, as s3prl counts them."""
        counts = [-(-len(wav) // self.rate) for wav in wavs]
        out = torch.zeros(len(wavs), max(counts), self.model.timestamp_embedding_size, device=wavs[0].device)
        for row, wav, count in zip(out, wavs, counts, strict=True):
            resampled = audio.resample(wav, SAMPLE_RATE, self.model.sample_rate)
            [frames], _ = self.model.timestamps(resampled[None])
            row[: min(count, len(frames))] = frames[:count]
            row[len(frames) : count] = frames[-1]
        return {"hidden_states": list(out.split(self.widths, dim=-1))}


def register(name: str = "hear_audioformer") -> None:
    """Makes the upstream known to s3prl by a name."""
    setattr(importlib.import_module("s3prl.hub"), name, UpstreamExpert)
