"""The input of every task's generator."""

from dataclasses import dataclass
from pathlib import Path

from .library import Library


@dataclass(frozen=True)
class Material:
    """The corpus, the SoundFonts, and a folder for temporary files."""

    library: Library
    banks: dict[str, Path]
    work: Path
