"""A loaded model -> the Hub: its weight file as it is, or a new one where the model has changed since it was loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from .. import checkpoint, weights
from ..checkpoint import Header
from ..embedder import Embedder
from ..errors import StoreError
from ..index import METHODS
from ..model import Model
from .run import publish


def push(embedder: Model, repo: str, **options: Any) -> str:
    """Publishes a model and returns the commit.

    Args:
        options: those of ``publish.run.publish``: licence, private, revision, datasets, base_model, overwrite.
    """
    with weight_file(embedder, repo.rpartition("/")[2]) as path:
        return publish(path, repo, **options).revision


@contextmanager
def weight_file(embedder: Model, name: str) -> Iterator[Path]:
    """A file that loads as the model: the one that it came from if that still holds, else NAME.safetensors."""
    if not isinstance(embedder, Embedder):
        raise TypeError("a fusion names its parts by sha256 and holds none of their weights: publish the parts")
    config = asdict(embedder.encoder.config)
    for field, value in {"pool": embedder.pool, "layers": tuple(embedder.layers)}.items():
        if field in config and value != getattr(embedder.encoder, field):
            config[field] = value
    if embedder.source is not None and _holds(embedder.source, config, embedder.encoder):
        yield embedder.source
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.safetensors"
        checkpoint.write(path, embedder.encoder.state_dict(), _header(embedder, config))
        yield path


def _holds(path: Path, config: dict[str, Any], encoder: nn.Module) -> bool:
    """Whether a file has this configuration and these values."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    original, _ = weights.load_encoder(path)
    state, stored = encoder.state_dict(), original.state_dict()
    return bool(
        asdict(original.config) == config
        and state.keys() == stored.keys()
        and all(torch.equal(state[name].cpu(), tensor) for name, tensor in stored.items())
    )


def _header(embedder: Embedder, config: dict[str, Any]) -> Header:
    methods = {module: method for method, module in METHODS.items()}
    method = methods.get(type(embedder.encoder).__module__.removeprefix("hear_audioformer.").partition(".")[0])
    if method is None:
        raise StoreError(
            f"{type(embedder.encoder).__name__} is an encoder of no method of this package: it has no file"
        )
    fields, normalisation = checkpoint.apart(config)
    if embedder.source is None:
        return Header(method, fields, normalisation)
    origin = checkpoint.read_header(embedder.source)
    provenance = {"changed_from": embedder.source.name, "changed_from_sha256": checkpoint.sha256(embedder.source)}
    return Header(method, fields, normalisation, {**provenance, "origin": origin.provenance}, origin.licence)
