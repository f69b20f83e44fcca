"""Figures: the attention that is shown is the attention that is used, and every picture gets drawn."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from hear_audioformer.msm_mae import Config, MsmMae
from tests.training.test_export import trained
from training import figures

CLIP = Path(__file__).parents[2] / "docs" / "example.ogg"


def test_attention_is_that_of_the_block() -> None:
    """With values replaced by unit vectors a layer's output is its attention."""
    encoder = MsmMae(Config(width=64, depth=2, heads=1, frames=96, cls=True, bands=80, patch=(16, 32)))
    features = torch.randn(1, 96, 80)
    shown = figures.attention(encoder, features, 1)[0]
    tokens = encoder.tokens(features)
    assert encoder.cls is not None
    x = encoder.blocks[0].attention_norm(torch.cat([encoder.cls.expand(1, 1, -1), tokens], dim=1))  # type: ignore
    layer = encoder.blocks[0].attention
    q, k, _ = layer.qkv(x).chunk(3, dim=-1)  # type: ignore[operator, union-attr]
    unit = torch.eye(x.shape[1])[None]
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, unit)
    assert shown.shape == (16, 16)
    assert torch.allclose(shown, wanted[0], atol=1e-6)


@pytest.mark.parametrize("picture", ["loss", "reconstruction", "attention"])
def test_every_picture_is_drawn(tmp_path: Path, picture: str) -> None:
    pytest.importorskip("matplotlib")
    trained(tmp_path / "run")
    clip = [] if picture == "loss" else [str(CLIP)]
    result = CliRunner().invoke(figures.main, [picture, str(tmp_path / "run"), *clip, "-o", str(tmp_path / "x.png")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.png").stat().st_size > 5000
