"""Training checkpoints: one file a step, written atomically, the newest few kept."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

FREE = ("steps", "cooldown", "log_every", "checkpoint_seconds", "keep", "keep_every", "watch_every", "patience")
NAME = re.compile(r"step-(\d{8})\.ckpt")


def finished(folder: Path) -> list[Path]:
    """The finished checkpoints in a folder, oldest first; files of other names are not ours."""
    return sorted(path for path in folder.glob("step-*.ckpt") if NAME.fullmatch(path.name))


def step_of(path: Path) -> int:
    """The step of a finished checkpoint."""
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def latest(folder: Path) -> Path | None:
    """The newest finished checkpoint in a folder."""
    paths = finished(folder)
    return paths[-1] if paths else None


def facts(path: Path) -> tuple[dict[str, Any], int]:
    """What a checkpoint says of its run, and its step, without reading its tensors."""
    saved = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    return saved["facts"], int(saved["step"])


def without_length(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a run but for its length, and for what changes no weight."""
    recipe = facts["recipe"]
    loop = {key: value for key, value in recipe["loop"].items() if key not in FREE}
    return {**facts, "recipe": {**recipe, "loop": loop}}


def save(fabric: Fabric, folder: Path, step: int, state: dict[str, Any], keep: int, every: int | None = None) -> Path:
    """Writes ``state`` as the checkpoint of a step; a kill at any moment leaves the previous ones whole.

    The newest ``keep`` stay, and those of steps that ``every`` divides.
    """
    path = folder / f"step-{step:08}.ckpt"
    temporary = path.with_suffix(".part")
    fabric.save(temporary, state)
    fabric.barrier()
    if fabric.is_global_zero:
        os.replace(temporary, path)
        for old in [*finished(folder)[:-keep], *folder.glob("step-*.part")]:  # the latter are of runs that were killed
            if old.suffix == ".part" or not every or step_of(old) % every:
                old.unlink()
    fabric.barrier()
    return path
