"""The recordings in a tar file (a WebDataset shard): where each begins and how long it is. Headers alone are read."""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Member(NamedTuple):
    """A file in a tar file."""

    name: str
    start: int  # first byte in the tar file
    size: int
    whole: bool  # its bytes lie together; those of a link or of a sparse file do not


def members(file: BinaryIO) -> Iterator[Member]:
    """The files in a tar file, in its order. Raises ``tarfile.TarError`` where the tar file is damaged."""
    with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
        while (info := tar.next()) is not None:
            if info.isfile() or info.islnk() or info.issym():
                name = info.name.removeprefix("./").lstrip("/")
                yield Member(name, info.offset_data, info.size, info.isfile() and not info.issparse())
            tar.members.clear()  # type: ignore[attr-defined]  # would grow with the tar file
        file.seek(tar.offset)
        rest = file.read(tarfile.BLOCKSIZE)
        if rest and rest != bytes(tarfile.BLOCKSIZE):  # tarfile takes a damaged header for the end
            raise tarfile.ReadError(f"damaged at byte {tar.offset}")
