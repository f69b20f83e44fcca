"""What the tests share: a small random model of every registered method, in memory and as a weight file."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models on a busy machine: threads would only wait for each other

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from hear_audioformer import asit, checkpoint, mast, msm_mae
from hear_audioformer.checkpoint import Header
from hear_audioformer.embedder import Encoder
from hear_audioformer.weights import METHODS

SMALL: dict[str, Callable[[], Encoder]] = {
    "msm-mae": lambda: msm_mae.MsmMae(msm_mae.Config(width=48, depth=3, heads=4, frames=96)),
    "asit": lambda: asit.Asit(asit.Config(width=48, depth=3, heads=4, frames=96)),
    "mast": lambda: mast.Mast(mast.Config.of_size("nano", width=16, frames=96)),
}


def small_encoder(method: str) -> Encoder:
    """A seeded encoder whose norms and biases are not at their trivial starting values."""
    torch.manual_seed(0)
    encoder = SMALL[method]().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1 or not parameter.any():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def write_model(encoder: Encoder, method: str, path: Path) -> Path:
    """Writes an encoder as a weight file."""
    config = asdict(encoder.config)  # type: ignore[call-overload]
    normalisation = {name: config.pop(name) for name in ("mean", "std")}
    checkpoint.write(path, encoder.state_dict(), Header(method, config, normalisation, licence="CC0-1.0"))
    return path


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    """Every registered method in turn; a method without an entry in SMALL fails here."""
    return request.param


@pytest.fixture
def encoder(method: str) -> Encoder:
    return small_encoder(method)


@pytest.fixture
def model_file(method: str, tmp_path: Path) -> Path:
    return write_model(small_encoder(method), method, tmp_path / f"{method}.safetensors")
