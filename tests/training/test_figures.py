"""Figures: the attention that is shown is the attention that is used, and every picture gets drawn."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from hear_audioformer import asit
from hear_audioformer.msm_mae import Config, MsmMae
from tests.training.test_export import ASIT, RECIPE, trained
from training import figures
from training.pretrain import build

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


def test_maps_lie_as_tokens_do() -> None:
    """A patch that stands out lights up where it is, in both methods' order of tokens."""
    for encoder, corner in (
        (MsmMae(Config(width=24, depth=1, heads=2, frames=96)), (6, 5)),
        (asit.Asit(asit.Config(width=24, depth=1, heads=2, frames=96)), (6, 8)),
    ):
        features = torch.zeros(1, 96, 16 * corner[1])
        features[0, 32:48, 48:64] = 100.0  # column 2, row 3
        tokens = encoder.tokens(features)[0][-corner[0] * corner[1] :]
        base = encoder.tokens(torch.zeros_like(features))[0][-corner[0] * corner[1] :]
        shown = figures.as_map(encoder, (tokens - base).norm(dim=-1))
        assert shown.shape == corner
        assert divmod(int(shown.argmax()), corner[1]) == (2, 3)


def test_panels_of_asit_are_what_the_student_sees() -> None:
    objective = build(ASIT)
    features = torch.randn(3, 48, 128)
    panels = objective.panels(features)
    assert torch.equal(panels["corrupted"][~panels["mask"]], features[~panels["mask"]])
    assert panels["restored"].shape == features.shape
    assert torch.equal(objective.panels(features)["mask"], panels["mask"])


@pytest.mark.parametrize("recipe", [RECIPE, ASIT], ids=lambda recipe: recipe["method"])
@pytest.mark.parametrize("picture", ["loss", "reconstruction", "attention"])
def test_every_picture_is_drawn(tmp_path: Path, picture: str, recipe: dict) -> None:
    pytest.importorskip("matplotlib")
    trained(tmp_path / "run", recipe)
    clip = [] if picture == "loss" else [str(CLIP)]
    result = CliRunner().invoke(figures.main, [picture, str(tmp_path / "run"), *clip, "-o", str(tmp_path / "x.png")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.png").stat().st_size > 5000
