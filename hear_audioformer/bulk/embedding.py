"""Files -> rows, by one model. Short files share window batches, long ones are streamed in bounded memory."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from ..audio import Reading
from ..model import Model
from .decoding import Decoded, decoded
from .opening import open_source
from .plan import Item
from .rows import Rows

BATCH_SECONDS = 120.0  # of clips that share window batches
Progress = Callable[[int, float, float], None]  # files, seconds of sound, bytes


class FileEmbedder:
    """Embeds files in their order.

    Args:
        timestamps: whether a file gets a row for each frame, instead of one row.
        segment: seconds of a row's stretch of sound; None for one row a file.
        dtype: of the embeddings.
        progress: told of the files, the seconds of sound and the bytes that were done since it was told last.
    """

    def __init__(
        self,
        model: Model,
        *,
        timestamps: bool = False,
        segment: float | None = None,
        dtype: str = "float32",
        progress: Progress | None = None,
    ) -> None:
        self.model = model
        self.timestamps = timestamps
        self.dtype = dtype
        self.rate = model.sample_rate
        self.segment = None if segment is None else max(1, round(segment * self.rate))  # samples
        self.progress = progress or (lambda files, seconds, size: None)
        self.threads = 1 if model.device.type == "cpu" else 4  # that decode

    def __call__(self, items: Sequence[Item], ends: Collection[int] = ()) -> Iterator[Rows | Decoded]:
        """The rows of each file, then the file itself with what is wrong about it.

        A batch ends with each file whose number is in ``ends``, so what stands before does not move what follows.
        """
        batch: list[Decoded] = []
        held = 0.0
        for file in decoded(items, self.rate, self.threads):
            if file.long:
                yield from self._batch(batch)
                yield from self._long(file)
                batch, held = [], 0.0
                continue
            batch.append(file)
            held += self._seconds(file)
            if held >= BATCH_SECONDS or file.item.number in ends:
                yield from self._batch(batch)
                batch, held = [], 0.0
        yield from self._batch(batch)

    def _batch(self, batch: list[Decoded]) -> Iterator[Rows | Decoded]:
        """The rows of short files. Where a batch fails, each file is tried alone."""
        good = [file for file in batch if file.clip is not None]
        found: list[Rows] = []
        try:
            found = self._frames(good) if self.timestamps else self._scenes(good)
        except Exception as error:
            if len(batch) > 1:
                for file in batch:
                    yield from self._batch([file])
                return
            batch[0].fail(error)
        rows = iter(found)
        for file in batch:
            if file.clip is not None:
                yield next(rows)
            yield file
        if batch:
            self.progress(len(batch), sum(map(self._seconds, batch)), sum(file.item.source.size for file in batch))

    def _scenes(self, files: list[Decoded]) -> list[Rows]:
        """A row for each stretch of each file."""
        segments = [self._cut(file.clip) for file in files if file.clip is not None]
        flat = [segment for parts in segments for segment in parts]
        vectors = self._array(self.model.scene(flat)) if flat else np.zeros((0, 0))
        rows = []
        for file, parts in zip(files, segments, strict=True):
            own, vectors = vectors[: len(parts)], vectors[len(parts) :]
            rows.append(self._stretches(file, 0, list(map(len, parts)), own))
        return rows

    def _frames(self, files: list[Decoded]) -> list[Rows]:
        """A row for each frame of each file; neighbours of one length share batches."""
        rows = []
        for _, neighbours in groupby(files, key=self._seconds):
            group = list(neighbours)
            clips = torch.stack([file.clip for file in group if file.clip is not None])
            frames, times = self.model.timestamps(clips)
            rows += [self._timed(*one) for one in zip(group, times, frames, strict=True)]
        return rows

    def _long(self, file: Decoded) -> Iterator[Rows | Decoded]:
        """The rows of a long file, which is never in memory as a whole."""
        done = 0
        share = file.item.source.size / file.seconds if file.seconds else 0.0  # bytes a second

        def blocks() -> Iterator[np.ndarray]:
            with open_source(file.item.source) as opened, Reading(opened) as reading:
                yield from reading.blocks(self.rate)
                file.notes = tuple(filter(None, [reading.truncation]))

        def progress(samples: int) -> None:
            nonlocal done
            seconds = (samples - done) / self.rate
            self.progress(0, seconds, share * seconds)
            done = samples

        try:
            if self.timestamps:
                for times, frames in self.model.timestamps_of(blocks, progress):
                    yield self._timed(file, times, frames)
            elif self.segment is not None:
                yield from self._long_segments(file, blocks(), self.segment, progress)
            else:
                vector = self._array(self.model.scene_of(blocks, progress)[None])
                yield self._stretches(file, 0, [done], vector)
        except Exception as error:
            file.fail(error)
        self.progress(1, 0.0, file.item.source.size - share * done / self.rate)
        yield file

    def _long_segments(
        self, file: Decoded, blocks: Iterator[np.ndarray], size: int, progress: Callable[[int], None]
    ) -> Iterator[Rows]:
        """A row for each stretch of a long file, some at a time."""
        some = max(1, round(BATCH_SECONDS * self.rate / size)) * size  # samples of whole stretches
        waiting, done = np.zeros(0, np.float32), 0
        for block in _with_end(blocks):
            waiting = waiting if block is None else np.concatenate([waiting, block])
            while len(waiting) >= some or (block is None and len(waiting)):
                parts = self._cut(torch.from_numpy(waiting[:some].copy()))
                yield self._stretches(file, done, list(map(len, parts)), self._array(self.model.scene(parts)))
                done += min(some, len(waiting))
                waiting = waiting[some:]
                progress(done)

    def _cut(self, clip: Tensor) -> list[Tensor]:
        """A clip's stretches; the last may be shorter."""
        return [clip] if self.segment is None else list(clip.split(self.segment))

    def _stretches(self, file: Decoded, start: int, lengths: list[int], vectors: np.ndarray) -> Rows:
        """Rows of stretches side by side, the first from sample ``start`` on."""
        samples = np.array(lengths)
        offsets = (start + np.cumsum(samples) - samples) / self.rate
        return Rows.of(file.path, file.sample_rate, offsets, samples / self.rate, vectors)

    def _timed(self, file: Decoded, times: Tensor, frames: Tensor) -> Rows:
        """Rows of frames, from their centres in ms."""
        step = np.full(len(times), self.model.hop_ms / 1000)
        return Rows.of(file.path, file.sample_rate, times.double().cpu().numpy() / 1000, step, self._array(frames))

    def _array(self, vectors: Tensor) -> np.ndarray:
        return vectors.cpu().numpy().astype(self.dtype, copy=False)

    def _seconds(self, file: Decoded) -> float:
        return 0.0 if file.clip is None else len(file.clip) / self.rate


def _with_end(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray | None]:
    """The blocks, then None."""
    yield from blocks
    yield None
