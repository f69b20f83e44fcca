"""A corpus as codes, computed once: a language model then learns without running the codec again at every step.

    python -m training.data.codes data/open melrvq-16k

reads a packed corpus and writes ``codes-NAME.uint16`` beside it, a row a frame, and ``codes-NAME.npz`` with where each
clip is. An hour takes 1.8 MB at 50 frames a second and four codebooks. Given again after an interruption it goes on
where it was; codes of another codec, or of another corpus, are not touched. ``--processes 8`` encodes as many at a
time, on a processor.
"""

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from corpora.clips import RATE
from corpora.pack import Pack, PackError
from hear_audioformer.audio import resample
from hear_audioformer.checkpoint import WeightsError
from hear_audioformer.codec import Codec
from hear_audioformer.codec.load import load
from hear_audioformer.files import atomic_write

CHUNK = 16  # clips that a process is given at a time
SILENCE = 1e-4  # root mean square under which a frame is digital silence


Encode = Callable[[Iterable[int]], Iterable[np.ndarray]]  # clips -> their rows
_mine: Callable[[int], np.ndarray] | None = None  # of a process that encodes


class Coded(NamedTuple):
    """Crops as codes.

    Attributes:
        codes: (batch, frames, codebooks), integers.
        heard: False where a frame is digital silence, (batch, frames).
    """

    codes: Tensor
    heard: Tensor


def heard(audio: Tensor, hop: int) -> Tensor:
    """Frames that are no digital silence: waveforms (batch, samples) -> (batch, frames)."""
    frames = F.pad(audio, (0, -audio.shape[1] % hop)).unflatten(1, (-1, hop))
    return frames.float().square().mean(-1).sqrt() >= SILENCE


@dataclass(frozen=True)
class Codes:
    """The clips of a corpus: clip ``i`` is ``rows[offsets[i] : offsets[i] + lengths[i]]``, a row a frame.

    The columns of a row are its codes, coarse to fine, and whether anything is heard. ``hashes[n - 1]`` is that of the
    codec's first n codebooks. ``seconds`` is the length of all clips together.
    """

    rows: np.memmap
    offsets: np.ndarray
    lengths: np.ndarray
    kinds: list[str]
    kind_of: np.ndarray
    packages: list[str]
    package_of: np.ndarray
    fingerprint: str
    codec: str
    hashes: list[str]
    seconds: float

    @classmethod
    def open(cls, folder: Path, codec: str) -> "Codes":
        """Those that a codec made of the corpus in a folder."""
        array, index = files(folder, codec)
        if not (array.exists() and index.exists()):
            raise PackError(
                f"{folder}: has no codes of {codec}; `python -m training.data.codes {folder} CODEC` makes them"
            )
        with np.load(index, allow_pickle=False) as file:
            index_values: dict[str, Any] = {name: file[name] for name in file.files}
        for name in ("kinds", "packages", "hashes"):
            index_values[name] = index_values[name].tolist()
        for name in ("fingerprint", "codec"):
            index_values[name] = str(index_values[name])
        columns, frames = len(index_values["hashes"]) + 1, int(index_values["lengths"].sum())
        if array.stat().st_size != 2 * frames * columns:
            raise PackError(f"{array}: is not as long as {index.name} says; make it again")
        rows = np.memmap(array, "<i2", "c", shape=(frames, columns))  # "c": torch dislikes read-only
        return cls(rows=rows, **{**index_values, "seconds": float(index_values["seconds"])})

    @property
    def hours(self) -> float:
        return self.seconds / 3600

    def perplexity(self) -> list[float]:
        """How many codes each codebook would have if it used all of them alike."""
        perplexities = []
        for column in self.rows.T[:-1]:
            shares = np.unique(column, return_counts=True)[1] / len(column)
            perplexities.append(float(np.exp(-(shares * np.log(shares)).sum())))
        return perplexities

    def speaks(self, codec: Codec) -> bool:
        """Whether these are the codes of a codec, or of more of its codebooks."""
        count = codec.config.codebooks
        return count <= len(self.hashes) and self.hashes[count - 1] == codec.codebook_hash()


def files(folder: Path, codec: str) -> tuple[Path, Path]:
    """Where the codes of a codec and their index are."""
    return folder / f"codes-{codec}.uint16", folder / f"codes-{codec}.npz"


def make(folder: Path, codec: Codec, name: str, processes: int = 1) -> Codes:
    """Encodes every clip of a packed corpus by itself, as at inference, so many at a time."""
    pack = Pack.open(folder)
    array, index = files(folder, name)
    hashes = [codec.first(count + 1).codebook_hash() for count in range(codec.config.codebooks)]
    identity = {"fingerprint": pack.fingerprint, "codec": name, "hashes": hashes}
    if index.exists():
        existing = Codes.open(folder, name)
        if {key: getattr(existing, key) for key in identity} != identity:
            raise PackError(f"{array}: holds codes of another codec or corpus; delete it and {index.name} first")
        return existing
    lengths = np.array([codec.count(_resampled(int(samples), codec)) for samples in pack.lengths], np.int64)
    ends = np.cumsum(lengths)
    with _encoder(folder, codec, processes) as encode:
        _encode(encode, identity, array.with_suffix(".part"), ends)
    held: dict[str, Any] = {name: getattr(pack, name) for name in ("kinds", "kind_of", "packages", "package_of")}
    held |= {"offsets": ends - lengths, "lengths": lengths, "seconds": pack.lengths.sum() / RATE, **identity}
    with atomic_write(index) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, **held)
        os.replace(array.with_suffix(".part"), array)
    _about(array.with_suffix(".part")).unlink()
    return Codes.open(folder, name)


def _encode(encode: Encode, identity: dict[str, Any], part: Path, ends: np.ndarray) -> None:
    """Appends the clips that ``part`` lacks; ``ends`` are the rows where clips end."""
    width, about = 2 * (len(identity["hashes"]) + 1), _about(part)
    if not about.exists():
        part.unlink(missing_ok=True)
        about.write_text(json.dumps(identity))
    elif json.loads(about.read_text()) != identity:
        raise PackError(f"{part}: was begun with another codec or corpus; delete it and {about.name} first")
    had = part.stat().st_size // width if part.exists() else 0
    first = int(np.searchsorted(ends, had, side="right"))  # clips that are whole
    with open(part, "ab") as file:
        file.truncate(width * int(ends[first - 1]) if first else 0)
        rest = range(first, len(ends))
        bar: Any = click.progressbar(encode(rest), len(rest), label="Encoding", file=sys.stderr)
        with bar as clips:
            for rows in clips:
                file.write(rows.astype("<u2").tobytes())


@contextmanager
def _encoder(folder: Path, codec: Codec, processes: int) -> Iterator[Encode]:
    """What makes the rows of clips, in order; several processes have a thread each."""
    if processes == 1:
        yield partial(map, partial(_rows, Pack.open(folder), codec))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(folder, codec)) as pool:
        yield partial(pool.map, _work, chunksize=CHUNK)


def _begin(folder: Path, codec: Codec) -> None:
    """What a process does first."""
    global _mine
    torch.set_num_threads(1)
    _mine = partial(_rows, Pack.open(folder), codec)


def _work(clip: int) -> np.ndarray:
    assert _mine
    return _mine(clip)


def _rows(pack: Pack, codec: Codec, clip: int) -> np.ndarray:
    audio = resample(torch.from_numpy(pack.clip(clip)).float() / 32768, RATE, codec.sample_rate)
    audio = audio.to(codec.scale.device)[None]
    codes = codec(audio)[0].mT
    return torch.cat([codes, heard(audio, codec.hop)[0, :, None].to(codes)], dim=1).cpu().numpy()


def _resampled(samples: int, codec: Codec) -> int:
    return math.ceil(samples * codec.sample_rate / RATE)


def _about(part: Path) -> Path:
    return part.with_suffix(".part.json")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("codec")
@click.option("--codebooks", type=click.IntRange(1), default=4, show_default=True, help="The first so many.")
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu", show_default=True)
@click.option(
    "--processes", type=click.IntRange(1), default=1, show_default=True, help="Clips encoded at a time, on a CPU."
)
def main(corpus: Path, codec: str, codebooks: int, device: str, processes: int) -> None:
    """Writes the codes of the packed CORPUS by CODEC, a name or a file, as AudioFormer's recipes name it."""
    if processes > 1 and device != "cpu":
        raise click.UsageError("--processes are for --device cpu: a GPU is best used by one")
    try:
        speaker, name = load(codec)
        codes = make(corpus, speaker.first(codebooks).eval().to(device), name, processes)
    except (PackError, WeightsError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(codes.lengths)} clips, {codes.hours:.2f} h, {codes.rows.nbytes / 1e6:.0f} MB, {codes.hashes[-1]}")
    click.echo(f"perplexity of codebooks 1, 2, ...: {', '.join(f'{found:.0f}' for found in codes.perplexity())}")


if __name__ == "__main__":
    main()
