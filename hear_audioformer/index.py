"""The table of methods, and the index of named models with the folder of bundled weights. It needs no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A method is one file or folder of this package, which satisfies ``encoder.Method``, and its line here.
METHODS = {
    "msm-mae": "msm_mae",
    "asit": "asit",
    "mast": "mast",
    "audioformer": "audioformer",
    "fusion": "fusion",
}
PARTS = {"codec": "codec"}  # parts of models that have weight files too -> their modules


@dataclass(frozen=True)
class Entry:
    """One model of the index."""

    method: str
    file: str
    size: int
    sha256: str
    repo: str | None = None
    revision: str | None = None
    about: dict[str, Any] | None = None  # what ``facts`` tells of it


@dataclass(frozen=True)
class Index:
    """The models known by name; the first of a method is that method's default."""

    default: str | None
    models: dict[str, Entry]

    def default_of(self, method: str | None) -> str | None:
        """The default model, or that of a method."""
        if method is None:
            return self.default
        return next((name for name, entry in self.models.items() if entry.method == method), None)


def bundle() -> Path:
    """The folder of the bundled weights: beside it in a checkout, inside it once installed."""
    installed = Path(__file__).parent / "bundled"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "weights"


def index() -> Index:
    """The index of named models."""
    path = bundle() / "index.json"
    raw = json.loads(path.read_text()) if path.exists() else {"default": None, "models": {}}
    return Index(raw["default"], {name: Entry(**entry) for name, entry in raw["models"].items()})


def list_models(method: str | None = None) -> list[str]:
    """Names that ``load_model`` takes, of all methods or of one."""
    methods = METHODS if method is None else (method,)
    return [name for name, entry in index().models.items() if entry.method in methods]
