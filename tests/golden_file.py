"""A golden file: its configuration, its arrays as tensors, and how near a result comes to one of them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class GoldenFile:
    """By the name of its method; $GOLDENS may name a folder with another file of the same layout."""

    def __init__(self, name: str) -> None:
        folder = Path(os.environ.get("GOLDENS", Path(__file__).parent / "goldens"))
        self.arrays = np.load(folder / f"{name}.npz", allow_pickle=False)
        self.config: dict[str, Any] = json.loads(str(self.arrays["config"]))
        self.names: list[str] = self.arrays.files

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.arrays[name]))

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The arrays whose names begin so, by the rest of their names."""
        return {name.removeprefix(prefix): self[name] for name in self.names if name.startswith(prefix)}

    def close(
        self, found: Tensor, name: str, tolerance: float, where: Tensor | None = None, slack: Tensor | float = 0.0
    ) -> None:
        """Holds a result against the file's, perhaps only where asked; ``pytest -s`` shows how near it came.

        The tolerance is for values up to 1; rounding errors of larger ones grow with the largest of them. ``slack``
        is what each value may differ by besides.
        """
        wanted = self[name]
        assert found.shape == wanted.shape
        tolerance *= max(1.0, float(wanted.double().abs().max()))
        difference = (found.double() - wanted.double()).abs() - slack
        deviation = float((difference if where is None else difference[where]).max())
        print(f"{name}: {deviation:.1e} of {tolerance:.0e}")
        assert deviation <= tolerance
