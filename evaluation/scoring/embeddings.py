"""Embeddings of a task's clips by any HEAR module, computed once and cached.

Clips are never padded to each other: the package's own embedders take clips of any lengths, any other module gets
batches of one exact length. The cache key hashes everything that the embeddings depend on: the source files of module
and model, the weight file, the options, the kind of device, and the clips.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from hear_audioformer import WeightsError, __version__, audio, checkpoint, weights
from hear_audioformer.files import atomic_write
from hear_audioformer.model import Model as OurModel
from hear_audioformer.read_ahead import read_ahead

from ..tasks.tasks import Item, Task
from .code_files import source_hash

SECONDS = 120.0  # of audio in one call
AHEAD = 256  # clips decoded in advance


@dataclass(frozen=True)
class Timestamps:
    """Timestamp embeddings of a task's clips, memory-mapped from a file in half precision.

    Attributes:
        matrix: the frames of all clips, (frames, dim).
        starts, lengths: the first frame of each clip, and its number of frames.
        times: the centres of each clip's frames in ms, (frames of the clip,).
    """

    matrix: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    times: list[np.ndarray]

    def frames(self, clip: int) -> np.ndarray:
        """One clip's embeddings, (frames, dim)."""
        return self.matrix[self.starts[clip] : self.starts[clip] + self.lengths[clip]]


class Model:
    """A HEAR module with its loaded model, and the identity of everything that its embeddings depend on."""

    def __init__(self, module: str, source: str = "", options: dict[str, Any] | None = None) -> None:
        self.module: ModuleType = importlib.import_module(module)
        self.source, self.options = source, options or {}
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        load: Callable[..., Any] = self.module.load_model
        self.loaded: Any = load(source, **self.options) if source else load(**self.options)
        self.loaded.to(self.device)
        self.sample_rate = int(self.loaded.sample_rate)
        self.sha256 = _sha256_of_weights(self.module, source)
        self.code = source_hash(self.module, self.loaded)  # hashed now, as the files may change later

    @property
    def name(self) -> str:
        """The model's name, or the weight file's without suffix, followed by the options; of our default its own."""
        loaded = getattr(self.loaded, "source", None) if isinstance(self.loaded, OurModel) else None
        source = str(self.source or loaded or "").rstrip("/").rsplit("/", 1)[-1]
        stem = source.removesuffix(".safetensors") or "default"
        return "-".join([stem, *(f"{key}={value}" for key, value in sorted(self.options.items()))]).replace("/", "_")

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "module": self.module.__name__,
            "code": self.code,
            "package": __version__,
            "model": self.sha256 or self.source,
            "options": self.options,
            "device": self.device,
        }


def scenes(task: Task, model: Model, cache: Path, batch_size: int | None = None) -> np.ndarray:
    """Scene embeddings of a task's clips: (clips, dim), float32."""
    file = _cache_file(task, model, cache, "scene")
    if file.exists():
        return np.load(file)
    out = np.empty((len(task.items), int(model.loaded.scene_embedding_size)), np.float32)
    mixed = isinstance(model.loaded, OurModel)
    for places, clips in _batches(task, model.sample_rate, batch_size, mixed):
        moved = [clip.to(model.device) for clip in clips]
        with torch.no_grad():
            vectors = model.module.get_scene_embeddings(moved if mixed else torch.stack(list(moved)), model.loaded)
        out[places] = vectors.float().cpu().numpy()
    _refuse_nan(out, task)
    _write(file, lambda handle: np.save(handle, out))
    return out


def timestamps(task: Task, model: Model, cache: Path, batch_size: int | None = None) -> Timestamps:
    """Timestamp embeddings of a task's clips."""
    index = _cache_file(task, model, cache, "timestamps")
    frames = index.with_suffix(".f16")
    if not index.exists():  # written last
        places: dict[str, Any] = {}
        _write(frames, lambda handle: places.update(_stream(task, model, handle, batch_size)))
        _write(index, lambda handle: np.savez(handle, **places))
    held = np.load(index)
    order = np.argsort(held["starts"])
    times = dict(zip(order.tolist(), np.split(held["times"], np.cumsum(held["lengths"][order])[:-1]), strict=True))
    matrix = np.memmap(frames, np.float16, "r", shape=(len(held["times"]), int(model.loaded.timestamp_embedding_size)))
    return Timestamps(matrix, held["starts"], held["lengths"], [times[clip] for clip in range(len(times))])


def _stream(task: Task, model: Model, handle: BinaryIO, batch_size: int | None) -> dict[str, np.ndarray]:
    """Writes frames to a file batch by batch. Returns the start, length and frame times of each clip."""
    starts, lengths = np.zeros((2, len(task.items)), np.int64)
    times, written = [], 0
    for places, clips in _batches(task, model.sample_rate, batch_size, mixed=False):
        with torch.no_grad():
            stacked = torch.stack(list(clips)).to(model.device)
            embeddings, centres = model.module.get_timestamp_embeddings(stacked, model.loaded)
        for clip, rows, when in zip(places, embeddings.cpu(), centres.cpu(), strict=True):
            half = rows.half().numpy()
            _refuse_nan(half, task)
            handle.write(half.tobytes())
            starts[clip], lengths[clip] = written, len(half)
            times.append(when.float().numpy())
            written += len(half)
    return {"starts": starts, "lengths": lengths, "times": np.concatenate(times)}


def _batches(
    task: Task, rate: int, batch_size: int | None, mixed: bool
) -> Iterator[tuple[list[int], Sequence[Tensor]]]:
    """Batches of clips with their indices, in order of length and decoded in advance.

    All clips of a batch have one length unless ``mixed``.
    """
    lengths = [soundfile.info(task.audio(item, rate)).frames for item in task.items]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    places: list[int] = []
    clips: list[Tensor] = []
    with ThreadPoolExecutor(max_workers=1) as pool:
        waveforms = read_ahead(pool, lambda place: _read(task, task.items[place], rate), order, AHEAD)
        for place, clip in zip(order, waveforms, strict=True):
            if clips and not mixed and len(clip) != len(clips[0]):
                yield places, clips
                places, clips = [], []
            places.append(place)
            clips.append(clip)
            held = sum(map(len, clips)) / rate
            if len(clips) == batch_size or (batch_size is None and held >= SECONDS):
                yield places, clips
                places, clips = [], []
    if clips:
        yield places, clips


def _read(task: Task, item: Item, rate: int) -> Tensor:
    return audio.read(task.audio(item, rate), rate)


def _cache_file(task: Task, model: Model, cache: Path, kind: str) -> Path:
    identity = {**model.identity, "kind": kind, "clips": task.audio_hash(model.sample_rate)}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    return cache / f"{task.name}-{key}.{'npy' if kind == 'scene' else 'npz'}"


def _sha256_of_weights(module: ModuleType, source: str) -> str | None:
    """SHA-256 of a model's weight file, or None without one."""
    if Path(source).is_file():
        return checkpoint.sha256(source)
    if not source and not module.__name__.startswith("hear_audioformer"):
        return None
    try:
        return checkpoint.sha256(weights.resolve(source, getattr(module, "METHOD", None)))
    except WeightsError:
        return None  # a name that only the module can resolve


def _refuse_nan(embeddings: np.ndarray, task: Task) -> None:
    if not np.isfinite(embeddings).all():
        raise ValueError(
            f"{task.name}: the module returned NaN, infinite or huge values; `hear-audioformer validate` it"
        )


def _write(file: Path, save: Callable[[Any], None]) -> None:
    """Writes a file whole or not at all."""
    with atomic_write(file) as temporary, open(temporary, "wb") as handle:
        save(handle)
