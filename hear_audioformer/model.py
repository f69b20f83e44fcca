"""What ``load_model`` returns, whatever embeds: an encoder in an ``Embedder``, or several models in a ``Fusion``.

HEAR's functions, the command line and ``embed`` use a model by this contract alone.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .clips import Clips

Precision = Literal["auto", "fp32", "bf16"]
UsedPrecision = Literal["fp32", "bf16"]
Blocks = Callable[[], Iterator[np.ndarray]]  # opens a recording: mono float32 blocks at the model's rate
Progress = Callable[[int], object]  # told of the number of samples that have been embedded
PART = 4096  # frames handed over together


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
    source: Path | None = None  # the weight file that it was loaded from

    @property
    def hops(self) -> list[float]:
        """The steps between timestamps that it can have, in ms, longest first."""
        raise NotImplementedError

    @property
    def used_precision(self) -> UsedPrecision:
        """The precision of the next call."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(chain(self.parameters(), self.buffers())).device

    def choices(self) -> dict[str, Any]:
        """The options that its embeddings depend on, beside hop and precision."""
        return {"pool": self.pool}

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

    def scene_of(self, open_blocks: Blocks, progress: Progress | None = None) -> Tensor:
        """The scene embedding of a recording that is read block by block: (scene_embedding_size,).

        An ``Embedder`` does this in constant memory. Here the waveform is put together.
        """
        return self.scene(waveform_of_blocks(open_blocks, progress)[None])[0]

    def timestamps_of(self, open_blocks: Blocks, progress: Progress | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Centres in ms, (frames,), and frames, (frames, timestamp_embedding_size), in parts in order of time."""
        frames, times = self.timestamps(waveform_of_blocks(open_blocks, progress)[None])
        yield from zip(times[0].split(PART), frames[0].split(PART), strict=True)

    def stream(
        self, chunks: Iterable[Any], *, sample_rate: int | None = None, latency_ms: float | None = None
    ) -> Iterator[tuple[float, Tensor]]:
        """Timestamps of audio that comes in chunks, in constant memory: (centre in ms, (timestamp_embedding_size,)).

        They are those of ``timestamps`` for all chunks joined, in order of time. Each comes as soon as its window is
        complete, at most ``self.latency_ms`` after its centre. What a method knows of a whole clip is known here so
        far: ASiT removes the mean of all samples until now, and MSM-MAE with ``normalisation="batch"`` uses the
        statistics until now. All other features are those of the whole clip (docs/streaming.md).

        Args:
            chunks: mono blocks of floats in [-1, 1], tensors or arrays of any lengths; read when they are needed.
            sample_rate: of the chunks, in Hz, if it is not the model's.
            latency_ms: a shorter latency. Windows are then shorter, so the embeddings differ from ``timestamps``.
        """
        groups = self.stream_groups(chunks, sample_rate=sample_rate, latency_ms=latency_ms)
        return ((time, frame) for times, frames in groups for time, frame in zip(times.tolist(), frames, strict=True))

    def stream_groups(
        self, chunks: Iterable[Any], *, sample_rate: int | None = None, latency_ms: float | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """``stream`` in groups of frames that are complete together: centres in ms, (frames,), and (frames, dim)."""
        raise TypeError(f"a {type(self).__name__} does not stream")

    @property
    def latency_ms(self) -> float:
        """The longest time from a timestamp to the sample that completes its embedding in a stream."""
        raise TypeError(f"a {type(self).__name__} does not stream")

    def forward(self, audio: Clips) -> Tensor:
        """The same as ``scene``."""
        return self.scene(audio)

    @classmethod
    def from_pretrained(cls, repo: str, revision: str | None = None, **options: Any) -> "Model":
        """The model of a repository OWNER/NAME on the Hugging Face Hub (``weights.from_pretrained``)."""
        from .weights import from_pretrained

        return from_pretrained(repo, revision, **options)

    def push_to_hub(self, repo: str, **options: Any) -> str:
        """Publishes the model on the Hugging Face Hub and returns the commit (``publish.push.push``)."""
        from .publish.push import push

        return push(self, repo, **options)


def waveform_of_blocks(open_blocks: Blocks, progress: Progress | None = None) -> Tensor:
    """A recording's waveform, (samples,)."""
    samples = bytearray()  # grows in place: joining a list of blocks would hold the waveform twice
    for block in open_blocks():
        samples += np.ascontiguousarray(block, np.float32).data.cast("B")
    if not samples:
        raise ValueError("the recording holds no samples: an embedding needs at least one")
    if progress:
        progress(len(samples) // 4)
    return torch.frombuffer(samples, dtype=torch.float32)


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
