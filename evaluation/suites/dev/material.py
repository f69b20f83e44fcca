"""What a task is made from: the corpus, the SoundFonts, and a folder for temporary files."""

from dataclasses import dataclass
from pathlib import Path

from .library import Library


@dataclass(frozen=True)
class Material:
    """Handed to every task."""

    library: Library
    banks: dict[str, Path]
    work: Path
