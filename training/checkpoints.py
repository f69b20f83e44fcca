"""Training checkpoints: one file a step, written atomically, the newest few kept."""

import os
import re
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric

NAME = re.compile(r"step-(\d{8})\.ckpt")


def latest(folder: Path) -> Path | None:
    """The newest finished checkpoint in a folder."""
    found = sorted(path for path in folder.glob("step-*.ckpt") if NAME.fullmatch(path.name))
    return found[-1] if found else None


def save(fabric: Fabric, folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Writes ``state`` as the checkpoint of a step; a kill at any moment leaves the previous ones whole."""
    path = folder / f"step-{step:08}.ckpt"
    temporary = path.with_suffix(".part")
    fabric.save(temporary, state)
    fabric.barrier()
    if fabric.is_global_zero:
        os.replace(temporary, path)
        for old in sorted(folder.glob("step-*.ckpt"))[:-keep]:
            old.unlink()
    fabric.barrier()
    return path
