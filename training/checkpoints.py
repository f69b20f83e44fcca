"""Training checkpoints: one file a step, written atomically, the newest few kept."""

import os
import re
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

NAME = re.compile(r"step-(\d{8})\.ckpt")


def finished(folder: Path) -> list[Path]:
    """The finished checkpoints in a folder, oldest first; files of other names are not ours."""
    return sorted(path for path in folder.glob("step-*.ckpt") if NAME.fullmatch(path.name))


def latest(folder: Path) -> Path | None:
    """The newest finished checkpoint in a folder."""
    found = finished(folder)
    return found[-1] if found else None


def facts(path: Path) -> dict[str, Any]:
    """What a checkpoint says of its run, without reading its tensors."""
    return torch.load(path, map_location="cpu", mmap=True, weights_only=True)["facts"]


def save(fabric: Fabric, folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Writes ``state`` as the checkpoint of a step; a kill at any moment leaves the previous ones whole."""
    path = folder / f"step-{step:08}.ckpt"
    temporary = path.with_suffix(".part")
    fabric.save(temporary, state)
    fabric.barrier()
    if fabric.is_global_zero:
        os.replace(temporary, path)
        for old in [*finished(folder)[:-keep], *folder.glob("step-*.part")]:  # the latter are of runs that were killed
            old.unlink()
    fabric.barrier()
    return path
