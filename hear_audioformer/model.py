"""What ``load_model`` returns, whatever embeds: an encoder in an ``Embedder``, or several models in a ``Fusion``.

HEAR's functions, the command line and ``embed`` use a model by this contract alone.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from .clips import Clips

Precision = Literal["auto", "fp32", "bf16"]
UsedPrecision = Literal["fp32", "bf16"]


class Model(nn.Module):
    """The base class of all models.

    Attributes:
        sample_rate: Hz of the audio that it takes.
        scene_embedding_size, timestamp_embedding_size: widths of its vectors.
        hop_ms: step between its timestamps.
        pool: how frames become a scene embedding, in a word.
    """

    sample_rate: int
    scene_embedding_size: int
    timestamp_embedding_size: int
    hop_ms: float
    pool: str

    @property
    def hops(self) -> list[float]:
        """The steps between timestamps that it can have, in ms, longest first."""
        raise NotImplementedError

    @property
    def used_precision(self) -> UsedPrecision:
        """The precision of the next call."""
        raise NotImplementedError

    def scene(self, audio: Clips) -> Tensor:
        """One vector a clip: (clips, scene_embedding_size).

        ``audio`` is (clips, samples), or a list of 1-D clips of any lengths.
        """
        raise NotImplementedError

    def timestamps(self, audio: Clips) -> tuple[Tensor, Tensor]:
        """Frames each ``hop_ms``, (clips, frames, timestamp_embedding_size), and centres in ms, (clips, frames)."""
        raise NotImplementedError

    def frames_at(self, audio: Clips, times: Tensor) -> Tensor:
        """Frames at the given times in ms, (clips, times, timestamp_embedding_size).

        Here they are interpolated linearly; the first and the last frame hold to the ends of the clip.
        """
        frames, centres = self.timestamps(audio)
        return (
            interpolated(frames, centres[0], times) if len(frames) else frames.new_empty(0, len(times), frames.shape[2])
        )

    def forward(self, audio: Clips) -> Tensor:
        """The same as ``scene``."""
        return self.scene(audio)


def interpolated(frames: Tensor, centres: Tensor, times: Tensor) -> Tensor:
    """Frames (clips, frames, dim) with evenly spaced centres -> frames at other times, (clips, times, dim)."""
    if len(centres) == len(times) and torch.equal(centres, times):
        return frames
    place = torch.zeros_like(times, dtype=torch.float64)
    if len(centres) > 1:
        step = (centres[-1].double() - centres[0].double()) / (len(centres) - 1)
        place = ((times.double() - centres[0].double()) / step).clamp(0, len(centres) - 1)
    before = place.floor().long()
    share = (place - before).float()[:, None]
    return torch.lerp(frames[:, before], frames[:, (before + 1).clamp(max=len(centres) - 1)], share)


def get_scene_embeddings(audio: Tensor, model: Model) -> Tensor:
    """HEAR: one vector a sound, (n_sounds, model.scene_embedding_size), for audio (n_sounds, n_samples)."""
    return model.scene(audio)


def get_timestamp_embeddings(audio: Tensor, model: Model) -> tuple[Tensor, Tensor]:
    """HEAR: (n_sounds, n_timestamps, model.timestamp_embedding_size), and centres in ms, (n_sounds, n_timestamps)."""
    return model.timestamps(audio)
