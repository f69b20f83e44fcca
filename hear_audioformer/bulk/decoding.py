"""Sources -> clips, read ahead of the model by threads, in bounded memory: long recordings are left for streaming."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import audio
from ..read_ahead import read_ahead
from .opening import open_source, state_now
from .plan import Item
from .sources import shown

LONG = 60.0  # seconds; longer recordings are streamed
AHEAD = 16  # clips decoded ahead of the model, hence at most this many minutes of sound


@dataclass
class Decoded:
    """A file of the plan, ready for the model.

    Attributes:
        key: size and time of change of the file, as they were before it was opened.
        sample_rate: as it is stored, in Hz.
        seconds: how long its header says it is; 0 if unknown.
        clip: the waveform at the model's rate; None of a long or bad file.
        notes: what is odd about it.
        error: why it cannot be embedded.
    """

    item: Item
    key: tuple[int, int] = (0, 0)
    sample_rate: int = 0
    seconds: float = 0.0
    clip: Tensor | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None

    @property
    def path(self) -> str:
        """For the table."""
        return shown(self.item.source.path)

    @property
    def long(self) -> bool:
        """Whether it is left for streaming."""
        return self.clip is None and self.error is None

    def fail(self, error: BaseException) -> None:
        """Takes an error of any kind as this file's, in one line."""
        text = " ".join(str(error).split())
        plain = isinstance(error, (ValueError, OSError)) and text
        self.error = shown(
            text.removeprefix(f"{self.item.source.path}: ") if plain else f"{type(error).__name__}: {text}"
        )
        self.clip = None


def decoded(items: Sequence[Item], sample_rate: int, threads: int) -> Iterator[Decoded]:
    """The files in order. An error of any kind is that file's."""
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode")
    try:
        yield from read_ahead(pool, lambda item: _decoded(item, sample_rate), items, AHEAD)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _decoded(item: Item, sample_rate: int) -> Decoded:
    file = Decoded(item)
    try:
        key = state_now(item.source)
        if key is None:
            raise audio.AudioError("no such file")
        file.key = key
        file.clip = _clip(file, sample_rate)
        if file.clip is not None and not bool(file.clip.any()):
            file.notes += ("holds silence only",)
    except Exception as error:  # whatever it is, this file alone is to blame
        file.fail(error)
    return file


def _clip(file: Decoded, sample_rate: int) -> Tensor | None:
    """The waveform of a file; None if it is long."""
    samples = bytearray()
    with open_source(file.item.source) as opened, audio.Reading(opened) as reading:
        file.sample_rate, file.seconds = reading.sample_rate, reading.seconds
        if reading.seconds > LONG:
            return None
        for block in reading.blocks(sample_rate):
            samples += block.data.cast("B")
            if len(samples) > 4 * LONG * sample_rate:
                return None
        file.notes = tuple(filter(None, [reading.truncation]))
    if not samples:
        raise audio.AudioError("holds no samples")
    clip = torch.frombuffer(samples, dtype=torch.float32)
    if not bool(torch.isfinite(clip.sum())):
        raise audio.AudioError("holds NaN or infinite samples")
    return clip
