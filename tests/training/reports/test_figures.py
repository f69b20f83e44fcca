"""Figures: the attention that is shown is the attention that is used, and every picture gets drawn."""

from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from hear_audioformer import asit
from hear_audioformer.msm_mae import Config, MsmMae
from tests.training.test_export import ASIT, RECIPE, trained
from training.export import learnt
from training.pretrain import build
from training.recipe import Recipe, read_recipe
from training.reports import figures

CLIP = Path(__file__).parents[3] / "docs" / "example.ogg"


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
        changed, base = (encoder.tokens(given)[0][-corner[0] * corner[1] :] for given in (features, 0 * features))
        shown = figures.as_map(encoder, (changed - base).norm(dim=-1))
        assert shown.shape == corner
        assert divmod(int(shown.argmax()), corner[1]) == (2, 3)


def test_panels_of_asit_are_what_the_student_sees() -> None:
    objective = build(Recipe.parse(ASIT))
    features = torch.randn(3, 48, 128)
    clean, corrupted, mask, restored = objective.panels(features).values()
    assert torch.equal(clean, features)
    assert torch.equal(corrupted[~mask], features[~mask])
    assert not torch.equal(corrupted, features)
    assert restored.shape == features.shape
    assert torch.equal(objective.panels(features)["hidden pixels"], mask)


@pytest.mark.parametrize("recipe", [RECIPE, ASIT], ids=lambda recipe: recipe["method"])
@pytest.mark.parametrize("picture", ["loss", "reconstruction", "attention"])
def test_every_picture_is_drawn(tmp_path: Path, picture: str, recipe: dict) -> None:
    pytest.importorskip("matplotlib")
    trained(tmp_path / "run", recipe)
    clip = [] if picture == "loss" else [str(CLIP)]
    result = CliRunner().invoke(figures.main, [picture, str(tmp_path / "run"), *clip, "-o", str(tmp_path / "x.png")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("reconstruction", "a Classifier reconstructs no sound; draw its loss"),
        ("attention", "attention of Mast cannot be drawn"),
    ],
)
def test_what_has_no_such_picture(tmp_path: Path, picture: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = build(read_recipe("mast-open", ["encoder={size: nano, width: 16, frames: 56}"]))
    monkeypatch.setattr(figures, "learnt", lambda run: (objective, {}))
    done = CliRunner().invoke(figures.main, [picture, str(tmp_path), str(CLIP), "-o", str(tmp_path / "x.png")])
    assert done.exit_code != 0
    assert message in done.output


def test_pictures_lie_the_right_way_up(tmp_path: Path) -> None:
    """A tone of 1 kHz in the last third of the window is bright there: late, and beside its number on the axis."""
    pytest.importorskip("matplotlib")
    trained(tmp_path / "run")
    objective, _ = learnt(tmp_path / "run")
    encoder = objective.encoder
    place = torch.arange(encoder.window) / encoder.sample_rate
    sound = torch.sin(2 * torch.pi * 1000 * place) * (place > 0.64)
    soundfile.write(tmp_path / "tone.wav", sound.numpy(), encoder.sample_rate)
    features, starts = figures.windows(encoder, tmp_path / "tone.wav", 1)
    figure = figures.draw_reconstruction(objective, features, starts)
    [image] = figure.axes[0].images
    pixels = image.get_array()
    row, column = divmod(int(pixels.argmax()), pixels.shape[1])
    left, right, bottom, top = image.get_extent()
    assert 0.64 < left + (column + 0.5) / pixels.shape[1] * (right - left) < 0.96
    ticks = {label.get_text(): label.get_position()[1] for label in figure.axes[0].get_yticklabels()}
    assert bottom + (row + 0.5) / pixels.shape[0] * (top - bottom) == pytest.approx(ticks["1"], abs=1)


def test_the_patch_that_looks_is_the_one_that_is_framed(tmp_path: Path) -> None:
    """With keys and queries that know only their place, every patch looks at itself."""
    pytest.importorskip("matplotlib")
    encoder = MsmMae(Config(width=64, depth=1, heads=1, frames=96, bands=80, patch=(16, 32)))
    rows, columns = encoder.config.grid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "attention", lambda *_: torch.eye(1 + rows * columns)[None])
        figure = figures.draw_attention(encoder, torch.randn(1, 96, 80))
    found = 0
    for axis in figure.axes:
        for frame in axis.patches if "block" in axis.get_title() else []:
            row, column = divmod(int(axis.images[0].get_array().argmax()), columns)
            left, bottom = column * 0.96 / columns, row * 80 / rows
            assert (frame.get_x(), frame.get_y()) == pytest.approx((left, bottom))
            found += 1
    assert found == 3


def test_figures_show_the_average(tmp_path: Path) -> None:
    saved = trained(tmp_path / "run", ema=0.5)
    for parameter, average in zip(learnt(tmp_path / "run")[0].parameters(), saved["average"], strict=True):
        assert torch.equal(parameter, average)
