"""The yardstick keeps AST's shape, and HEAR's promises like any model here."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from evaluation.baselines import ast
from hear_audioformer import checkpoint
from hear_audioformer.checkpoint import Header
from hear_audioformer.embedder import Embedder


def small() -> ast.Ast:
    torch.manual_seed(0)
    return ast.Ast(ast.Config(width=24, depth=2, heads=2, frames=96)).eval()


def test_patches_are_asts_convolution() -> None:
    """Frequency first: token f * columns + t; no padding at either end of a full input."""
    encoder = small()
    features = torch.randn(2, 96, 128)
    kernel = encoder.embed.weight.unflatten(1, (16, 16)).mT[:, None]  # ours has a patch's frames before its bands
    expected = F.conv2d(features.mT[:, None], kernel, encoder.embed.bias, stride=10).flatten(2).mT
    tokens = encoder.tokens(features)
    assert encoder.config.grid == (12, 9)
    assert torch.allclose(tokens[:, 2:] - encoder.positions[2:], expected, atol=1e-5)
    assert torch.allclose(tokens[0, :2], encoder.cls + encoder.positions[:2], atol=1e-6)


def test_shorter_input_takes_the_first_positions_of_each_row() -> None:
    encoder = small()
    features = torch.randn(1, 96, 128)
    full, short = encoder.tokens(features)[:, 2:], encoder.tokens(features[:, :46])[:, 2:]
    assert torch.equal(short.unflatten(1, (12, 5))[:, :, :4], full.unflatten(1, (12, 9))[:, :, :4])


@pytest.mark.parametrize("samples", [1, 400, 16001, 50000])
def test_any_length(samples: int) -> None:
    for pool in ("cls", "mean", "mean+std"):
        model = Embedder(small(), pool=pool)
        scenes = model.scene(0.1 * torch.randn(2, samples))
        assert scenes.shape == (2, model.scene_embedding_size)
        assert torch.isfinite(scenes).all()


def test_scene_is_the_mean_of_both_tokens() -> None:
    encoder = small()
    audio = 0.1 * torch.randn(2, 8000)
    with torch.no_grad():
        [tokens] = encoder.run(encoder.features(audio, 0, 48), [2])
    assert torch.allclose(Embedder(encoder).scene(audio), (tokens[:, 0] + tokens[:, 1]) / 2, atol=1e-5)


def test_time_stamps_are_the_centres_of_patches() -> None:
    """Patch j covers frames 10 j to 10 j + 15, whose windows reach from 100 j to 100 j + 175 ms."""
    _, times = Embedder(small(), hop_ms=100).timestamps(torch.zeros(1, 32000))
    assert times[0, :2].tolist() == [87.5, 187.5]


def test_a_weight_file_comes_back(tmp_path: Path) -> None:
    encoder, audio = small(), 0.1 * torch.randn(1, 8000)
    config = asdict(encoder.config)
    normalisation = {name: config.pop(name) for name in ("mean", "std")}
    checkpoint.write(tmp_path / "a.safetensors", encoder.state_dict(), Header("ast", config, normalisation))
    model = ast.load_model(str(tmp_path / "a.safetensors"))
    assert torch.equal(ast.get_scene_embeddings(audio, model), Embedder(encoder).scene(audio))
    checkpoint.write(tmp_path / "b.safetensors", encoder.state_dict(), Header("asit", config, normalisation))
    with pytest.raises(checkpoint.WeightsError, match="a model of method asit, not ast"):
        ast.load_model(str(tmp_path / "b.safetensors"))
    with pytest.raises(ValueError, match="pass a weight file"):
        ast.load_model()
