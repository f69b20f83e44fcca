"""Embeddings of many files in one file. A killed run loses at most seconds of work and can be resumed.

During a run, ``OUT.part/`` beside the result holds numbered pieces, and the model and options of the run. The same
command resumes it; another model or other options are refused. At the end the pieces become OUT.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import StoreError
from .files import atomic_write

SECONDS = 10.0  # of work that a kill can lose
Arrays = dict[str, np.ndarray]


class Store:
    """Results of one run, by file.

    Args:
        out: the file to make; ``.npz`` or ``.parquet``.
        identity: everything that the results depend on; only a run with the same identity resumes.
        overwrite: whether ``out`` may exist.
    """

    def __init__(self, out: Path, identity: dict[str, Any], *, overwrite: bool = False) -> None:
        self.write = _writer(out)
        if out.exists() and not overwrite:
            raise StoreError(f"{out} exists; choose another name, or pass --overwrite")
        self.out, self.identity = out, identity
        self.folder = out.with_name(out.name + ".part")
        self.waiting: dict[str, Arrays] = {}
        self.saved = time.monotonic()
        note = self.folder / "run.json"
        if note.exists() and json.loads(note.read_text()) != identity:
            raise StoreError(
                f"{self.folder} was begun with another model or other options: finish that run, or delete it"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(identity))
        self.done = {key for piece in self._pieces() for key in piece}

    def add(self, path: Path, arrays: Arrays) -> None:
        """Takes one file's ``embedding`` (dim,), or ``embedding`` (frames, dim) with ``timestamp`` (frames,)."""
        self.waiting[key_of(path)] = arrays
        if time.monotonic() - self.saved > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes the results since the last piece to disk."""
        if self.waiting:
            number = len(list(self.folder.glob("*.npz")))
            arrays: Any = {f"{i}/{name}": a for i, one in enumerate(self.waiting.values()) for name, a in one.items()}
            with atomic_write(self.folder / f"{number:06}.npz") as temporary, open(temporary, "wb") as file:
                np.savez(file, keys=np.array(list(self.waiting)), **arrays)
        self.waiting, self.saved = {}, time.monotonic()

    def finish(self, paths: list[Path]) -> int:
        """Writes the result, which holds the given files that are done in their order, and removes the pieces."""
        self.flush()
        names = {key_of(path): str(path) for path in paths if path.exists()}
        with atomic_write(self.out) as temporary:
            count = self.write(temporary, names, self._pieces, self.identity)
        shutil.rmtree(self.folder)
        return count

    def _pieces(self) -> Iterator[dict[str, Arrays]]:
        for path in sorted(self.folder.glob("*.npz")):
            piece: dict[str, Arrays] = {}
            with np.load(path, allow_pickle=False) as file:
                keys = file["keys"].tolist()
                for name in file.files:
                    if "/" in name:
                        index, field = name.split("/")
                        piece.setdefault(keys[int(index)], {})[field] = file[name]
            yield piece


Pieces = Callable[[], Iterator[dict[str, Arrays]]]


def key_of(path: Path) -> str:
    """The identity of a file's content: a file that has changed is embedded again."""
    stat = path.stat()
    return f"{path}|{stat.st_size}|{stat.st_mtime_ns}"


def _writer(out: Path) -> Callable[[Path, dict[str, str], Pieces, dict[str, Any]], int]:
    if out.suffix == ".npz":
        return _write_npz
    if out.suffix != ".parquet":
        raise StoreError(f"{out}: the name must end in .npz or .parquet")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise StoreError("Parquet needs pyarrow: pip install 'hear_audioformer[parquet]', or write .npz") from error
    return _write_parquet


def _write_npz(out: Path, names: dict[str, str], pieces: Pieces, identity: dict[str, Any]) -> int:
    """``paths``, ``embeddings``; of timestamps also ``timestamps`` and ``offsets``: file i owns offsets i to i + 1."""
    results = {key: arrays for piece in pieces() for key, arrays in piece.items()}
    keys = [key for key in names if key in results]
    chosen = [results[key] for key in keys]
    columns: Any = {"paths": np.array([names[key] for key in keys]), "info": np.array(json.dumps(identity))}
    columns["embeddings"] = np.concatenate([np.atleast_2d(one["embedding"]) for one in chosen] or [np.zeros((0, 0))])
    if chosen and "timestamp" in chosen[0]:
        columns["timestamps"] = np.concatenate([one["timestamp"] for one in chosen])
        columns["offsets"] = np.cumsum([0] + [len(one["timestamp"]) for one in chosen])
    with open(out, "wb") as file:
        np.savez(file, **columns)
    return len(keys)


def _write_parquet(out: Path, names: dict[str, str], pieces: Pieces, identity: dict[str, Any]) -> int:
    """Rows of ``path`` and ``embedding``, of timestamps one a frame with ``timestamp``; in bounded memory."""
    import pyarrow as pa
    from pyarrow import parquet

    count, writer = 0, None
    try:
        for piece in pieces():
            chosen = {key: arrays for key, arrays in piece.items() if key in names}
            if not chosen:
                continue
            rows = [np.atleast_2d(arrays["embedding"]) for arrays in chosen.values()]
            columns = {"path": pa.array([names[key] for key, row in zip(chosen, rows, strict=True) for _ in row])}
            if "timestamp" in next(iter(chosen.values())):
                columns["timestamp"] = pa.array(np.concatenate([arrays["timestamp"] for arrays in chosen.values()]))
            flat = pa.array(np.concatenate(rows).ravel())
            columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, rows[0].shape[1])
            table = pa.table(columns).replace_schema_metadata({"hear_audioformer": json.dumps(identity)})
            writer = writer or parquet.ParquetWriter(out, table.schema)
            writer.write_table(table)
            count += len(chosen)
        if writer is None:
            parquet.write_table(pa.table({"path": pa.array([], pa.string())}), out)
    finally:
        if writer is not None:
            writer.close()
    return count
