"""The index of a corpus's shards, ``shards.npz``: offset and size of every clip. Made on first use."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hear_audioformer.files import atomic_write

from .clips import RATE
from .pack import PackError, require_folder


class Entry(NamedTuple):
    """One clip in its shard."""

    shard: int
    offset: int
    size: int
    length: int
    kind: str
    package: str


@dataclass(frozen=True)
class Index:
    """The clips of a corpus: clip ``i`` is ``sizes[i]`` bytes at ``offsets[i]`` of the shard ``names[shard_of[i]]``.

    Clips are in the order of ``manifest.csv`` and of a pack; ``lengths`` are in samples.
    """

    folder: Path
    fingerprint: str
    names: list[str]
    bytes: np.ndarray  # of each shard
    shard_of: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    lengths: np.ndarray
    kinds: list[str]
    kind_of: np.ndarray
    packages: list[str]
    package_of: np.ndarray

    @classmethod
    def open(cls, out: Path) -> "Index":
        """The index of the corpus in a folder. Makes it if it is missing or belongs to other shards."""
        require_folder(out)
        try:
            fingerprint = json.loads((out / "corpus.json").read_text())["fingerprint"]
        except OSError as error:
            raise PackError(f"{out}: holds no finished corpus (no corpus.json)") from error
        shards = sorted((out / "shards").glob("*.tar"))
        if not shards:
            raise PackError(f"{out}: has no shards")
        now = {"fingerprint": fingerprint, "names": [path.name for path in shards]}
        now["bytes"] = [path.stat().st_size for path in shards]
        path = out / "shards.npz"
        if not (path.exists() and _same(path, now)):
            # several processes of a run may write it at once
            with atomic_write(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, **{**now, **_columns(shards)})
        with np.load(path, allow_pickle=False) as file:
            columns: dict[str, Any] = {name: file[name] for name in file.files}
        for name in ("names", "kinds", "packages", "fingerprint"):
            columns[name] = columns[name].tolist()
        return cls(folder=out / "shards", **columns)

    def path(self, clip: int) -> Path:
        """The shard that holds a clip."""
        return self.folder / self.names[int(self.shard_of[clip])]

    @property
    def hours(self) -> float:
        return int(self.lengths.sum()) / RATE / 3600


def _same(path: Path, now: dict[str, Any]) -> bool:
    with np.load(path, allow_pickle=False) as file:
        return all(file[name].tolist() == value for name, value in now.items())


def _columns(shards: list[Path]) -> dict[str, np.ndarray]:
    entries = [entry for number, path in enumerate(shards) for entry in _entries(number, path)]
    kinds, kind_of = np.unique([entry.kind for entry in entries], return_inverse=True)
    packages, package_of = np.unique([entry.package for entry in entries], return_inverse=True)
    return {
        "shard_of": np.array([entry.shard for entry in entries], np.int32),
        "offsets": np.array([entry.offset for entry in entries], np.int64),
        "sizes": np.array([entry.size for entry in entries], np.int64),
        "lengths": np.array([entry.length for entry in entries], np.int64),
        "kinds": kinds,
        "kind_of": kind_of.astype(np.int32),
        "packages": packages,
        "package_of": package_of.astype(np.int32),
    }


def _entries(number: int, path: Path) -> Iterator[Entry]:
    """The clips of one shard, from its headers and JSON. Reads no audio."""
    with tarfile.open(path) as tar:
        members = iter(tar)
        for audio_member, json_member in zip(members, members, strict=True):
            content = tar.extractfile(json_member)
            assert content is not None
            metadata = json.loads(content.read())
            yield Entry(
                number,
                audio_member.offset_data,
                audio_member.size,
                metadata["samples"],
                metadata["kind"],
                metadata["package"],
            )
