"""A corpus as WebDataset shards: ``shards/NNNNNN.tar`` with ``KEY.flac`` (or ``KEY.opus``) and ``KEY.json``."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .steps import FORMATS, ClipRow

Clip = tuple[dict[str, Any], bytes]  # metadata, encoded samples


def metadata(row: ClipRow) -> dict[str, Any]:
    """A clip's metadata, as in its JSON file and in the manifest."""
    return {
        "key": row.key,
        "package": row.package,
        "version": row.version,
        "deb_sha256": row.deb_sha256,
        "path": row.path,
        "kind": row.kind,
        "source_rate": row.source_rate,
        "samples": row.samples,
        "seconds": round(row.seconds, 4),
        "sha256": row.sha256,
        "licence": row.licence,
        "labels": row.labels,
    }


def write(clips: Iterable[Clip], out: Path, encoding: str, megabytes: int) -> list[str]:
    """Writes clips into shards of at most ``megabytes``; a larger clip has a shard of its own.

    The folder ``shards`` appears when it is complete, and replaces an older one. Returns the shard of each clip.
    """
    temporary, target = out / "shards.tmp", out / "shards"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    limit, size, number = megabytes * 10**6 - tarfile.RECORDSIZE, 0, -1
    names: list[str] = []
    tar: tarfile.TarFile | None = None
    for clip_metadata, data in clips:
        text = json.dumps(clip_metadata, ensure_ascii=False).encode()
        need = 2 * tarfile.BLOCKSIZE + sum(-(-len(content) // 512) * 512 for content in (data, text))
        if tar is None or size + need > limit:
            if tar is not None:
                tar.close()
            number, size = number + 1, 0
            tar = tarfile.open(temporary / f"{number:06}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        _add(tar, f"{clip_metadata['key']}.{FORMATS[encoding]}", data)
        _add(tar, f"{clip_metadata['key']}.json", text)
        size += need
        names.append(f"{number:06}.tar")
    if tar is not None:
        tar.close()
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
    return names


def read(out: Path) -> Iterator[Clip]:
    """Every clip, in the order of the shards."""
    for path in sorted((out / "shards").glob("*.tar")):
        data = b""
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                if member.name.endswith(".json"):
                    yield json.loads(content.read()), data
                else:
                    data = content.read()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
