"""What the tests share: a small random model of every registered method, in memory and as a weight file."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models on a busy machine: threads would only wait for each other

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from hear_audioformer import asit, audioformer, checkpoint, mast, msm_mae
from hear_audioformer.checkpoint import Header
from hear_audioformer.codec import Codec
from hear_audioformer.embedder import Encoder
from hear_audioformer.weights import METHODS, method_module

SMALL_CODEC = {"filters": 2, "ratios": (8, 5, 8), "latent": 8, "codes": 32, "dilations": ()}


def small_audioformer(**options: Any) -> audioformer.Audioformer:
    """An AudioFormer with a codec of its own kind; ``options`` are those of its configuration."""
    sizes = {"width": 16, "depth": 3, "heads": 2, "trained": 2, "average": 2, "window": 50, "codec": SMALL_CODEC}
    return audioformer.build({**sizes, **options})


SMALL: dict[str, Callable[[], Encoder]] = {
    "msm-mae": lambda: msm_mae.MsmMae(msm_mae.Config(width=48, depth=3, heads=4, frames=96)),
    "asit": lambda: asit.Asit(asit.Config(width=48, depth=3, heads=4, frames=96)),
    "mast": lambda: mast.Mast(mast.Config.of_size("nano", width=16, frames=96)),
    "audioformer": small_audioformer,
}


def smallest(method: str) -> Encoder:
    """The small encoder above, or the first size of a method that has none there."""
    if method in SMALL:
        return SMALL[method]()
    module = method_module(method)
    encoder = module.build(vars(module.Config.of_size(next(iter(module.SIZES)))))
    assert isinstance(encoder, Encoder)
    return encoder


def small_encoder(method: str) -> Encoder:
    """A seeded encoder whose norms and biases are not at their trivial starting values."""
    torch.manual_seed(0)
    encoder = smallest(method).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1 or not parameter.any():
                parameter.add_(0.1 * torch.randn_like(parameter))
        if isinstance(encoder, audioformer.Audioformer):
            learn_codebooks(encoder.codec)
    return encoder


@torch.no_grad()
def learn_codebooks(codec: Codec) -> None:
    """Gives a random codec codes that change with the sound, and, as training does, an ear for the present."""
    last: Any = codec.encoder.layers[-1]
    last.conv.weight[..., :-1] = 0
    levels = torch.logspace(-3, 0, 200).repeat_interleave(codec.hop)
    audio = torch.randn(1, len(levels)) * levels
    codec.scale.copy_(codec.latents(audio).square().mean().sqrt())
    residual = codec.latents(audio)[0].mT
    for codebook in codec.quantizer.codebooks:
        open_ones = residual[residual.any(dim=1)]
        codebook.embed.copy_(open_ones[torch.randperm(len(open_ones))[: len(codebook.embed)]])
        residual = residual - codebook(codebook.nearest(residual))


def write_model(encoder: Encoder, method: str, path: Path) -> Path:
    """Writes an encoder as a weight file."""
    config, normalisation = checkpoint.apart(asdict(encoder.config))
    checkpoint.write(path, encoder.state_dict(), Header(method, config, normalisation, licence="CC0-1.0"))
    return path


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    """Every registered method in turn."""
    return request.param


@pytest.fixture
def encoder(method: str) -> Encoder:
    return small_encoder(method)


@pytest.fixture
def model_file(method: str, tmp_path: Path) -> Path:
    return write_model(small_encoder(method), method, tmp_path / f"{method}.safetensors")
