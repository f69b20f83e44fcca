"""Another folder in place of the weights that come with the package."""

from pathlib import Path

import pytest

from hear_audioformer import index, weights


def use_bundle(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes the package look for its bundled weights in this folder."""
    for module in (index, weights):
        monkeypatch.setattr(module, "bundle", lambda: folder)
