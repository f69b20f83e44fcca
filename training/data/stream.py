"""Training crops read from a corpus's shards, for corpora that do not fit on the device.

The draws are those from a resident corpus, hence of FLAC the very same crops: an index of where each clip lies lets it
be opened by itself and decoded around its crop alone. Worker processes read ahead of the loop, which says beforehand
what it will ask for. This takes shards on a disk or a mounted file system. Reading them from start to end with a buffer
to shuffle, as webdataset does, would serve pipes too, but gives no batch that is a function of its seed.
"""

import io
import os
from collections.abc import Iterable, Mapping

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import Dataset

from corpora.index import Index

from .crops import Places, cut
from .worker_reads import WorkerReads


class StreamError(RuntimeError):
    """A clip that cannot be read; the message says which."""


class Stream:
    """Random crops of a corpus on disk.

    Args:
        index: of the corpus.
        samples, shares, cap, once: as of ``Places``.
        device: where the crops go.
        workers: processes that read and decode.
    """

    def __init__(
        self,
        index: Index,
        samples: int,
        shares: Mapping[str, float],
        *,
        cap: float = 0.08,
        once: float = 0.0,
        device: torch.device | str,
        workers: int,
    ) -> None:
        self.device = torch.device(device)
        self.places = Places(index, samples, shares, cap=cap, once=once, device=device)
        self.reads = WorkerReads(Reader(index, samples), self.places, self.device, workers)

    def begin(self, batch: int, seeds: Iterable[int]) -> None:
        """From here on, the loop asks for batches of one size by generators of these seeds, in this order."""
        self.reads.begin(batch, seeds)

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, samples), float32 in [-1, 1), on the device; the generator moves on as by resident crops."""
        seed = generator.initial_seed()
        crops = self.reads.read(self.places(batch, generator), seed)
        return crops.to(self.device, non_blocking=True).float() / 32768


class Reader(Dataset[Tensor]):
    """Decodes the crops of a batch; what a worker process has."""

    def __init__(self, index: Index, samples: int) -> None:
        self.index, self.samples = index, samples

    def __getitem__(self, places: Tensor) -> Tensor:
        """Rows of ``Places`` -> crops (batch, samples), int16."""
        return torch.from_numpy(np.stack([self._crop(*place) for place in places.tolist()]))

    def _crop(self, clip: int, first: int, period: int) -> np.ndarray:
        length = int(self.index.lengths[clip])
        inside = length > self.samples  # else the crop takes all of the clip
        start, count = (first, self.samples) if inside else (0, length)
        path = self.index.path(clip)
        with open(path, "rb", buffering=0) as file:
            span = Span(file.fileno(), int(self.index.offsets[clip]), int(self.index.sizes[clip]))
            try:
                with soundfile.SoundFile(span) as sound:
                    if start:
                        sound.seek(start)
                    heard = sound.read(count, dtype="int16")
            except soundfile.LibsndfileError as error:
                raise StreamError(f"{path}: byte {span.offset}: {error.error_string}") from error
        if len(heard) != count:
            raise StreamError(f"{path}: byte {span.offset}: the clip has no {length} samples")
        return heard if inside else cut(heard, first, period, self.samples)


class Span(io.RawIOBase):
    """A part of a file as a file; only what is asked for is read."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self.descriptor, self.offset, self.size, self.place = descriptor, offset, size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        room = max(0, min(len(buffer), self.size - self.place))
        count = os.preadv(self.descriptor, [memoryview(buffer)[:room]], self.offset + self.place)
        self.place += count
        return count


def workers_for(processes: int) -> int:
    """Worker processes of each of so many training processes on this machine: all the cores that there are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)
