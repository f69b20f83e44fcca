"""What the tests share: a small random model of every registered method, in memory and as a weight file."""

import functools
import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models on a busy machine: threads would only wait for each other

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hear_audioformer import asit, audioformer, checkpoint, fusion, mast, msm_mae
from hear_audioformer.checkpoint import Header
from hear_audioformer.codec import Codec
from hear_audioformer.embedder import Encoder
from hear_audioformer.encoder import Network
from hear_audioformer.fusion.fusion import FRONTS
from hear_audioformer.model import Model
from hear_audioformer.weights import METHODS, method_module

FILES = tempfile.TemporaryDirectory()  # of the parts of fusions
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


def small_fusion(components: int = 0, **options: Any) -> fusion.Composition:
    """A fusion of small models and all front ends.

    Args:
        components: of each part; 0 for its values.
        options: those of its configuration.
    """
    parts = [small_part("msm-mae", (1, -1), "mean"), small_part("audioformer", None, "mean+std")]
    parts += [fusion.Part(front=name, **widths(FRONTS[name]())) for name in FRONTS]
    kept = {"scene_components": components, "frame_components": components}
    composition = fusion.build({"parts": tuple(replace(part, **kept) for part in parts), **options})
    for part in (composition.scene, composition.frame):
        part.mean.normal_()
        part.std.uniform_(1.0, 2.0)
        for projection in part.projections:
            if isinstance(projection.axes, Tensor):
                projection.axes.copy_(torch.linalg.qr(torch.randn(projection.axes.shape[::-1])).Q.mT)
    return composition


def small_part(method: str, layers: tuple[int, ...] | None, pool: str) -> fusion.Part:
    file = part_file(method)
    model = small_encoder(method).model(layers=layers, pool=pool)
    return fusion.Part(str(file), checkpoint.sha256(file), layers, pool, **widths(model))


@functools.cache
def part_file(method: str) -> Path:
    """The small model of a method as a file that a fusion can name, for as long as the tests run."""
    return write_model(small_encoder(method), method, Path(FILES.name, f"{method}.safetensors"))


def widths(model: Model) -> dict[str, int]:
    return {"scene": model.scene_embedding_size, "frame": model.timestamp_embedding_size}


def small_network(method: str) -> Network:
    """The small encoder of a method, or the small fusion."""
    if method != "fusion":
        return small_encoder(method)
    torch.manual_seed(0)
    return small_fusion()


def write_model(network: Network, method: str, path: Path) -> Path:
    """Writes a network as a weight file."""
    config, normalisation = checkpoint.apart(asdict(network.config))  # type: ignore[call-overload]
    checkpoint.write(path, network.state_dict(), Header(method, config, normalisation, licence="CC0-1.0"))
    return path


@pytest.fixture(params=list(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    """Every registered method in turn."""
    return request.param


@pytest.fixture(params=[method for method in METHODS if method != "fusion"])
def encoder_method(request: pytest.FixtureRequest) -> str:
    """Every method that is an encoder, in turn."""
    return request.param


@pytest.fixture
def network(method: str) -> Network:
    return small_network(method)


@pytest.fixture
def encoder(encoder_method: str) -> Encoder:
    return small_encoder(encoder_method)


@pytest.fixture
def model_file(method: str, tmp_path: Path) -> Path:
    return write_model(small_network(method), method, tmp_path / f"{method}.safetensors")
