"""Pictures of codes and of what reads them: the attention that is shown is the one that is used."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tests.training.objectives.test_audioformer import small, sounds
from training.reports import code_figures, figures

CLIP = Path(__file__).parents[3] / "docs" / "example.ogg"


@pytest.mark.parametrize("arch", ["roformer", "roberta"])
@pytest.mark.parametrize("layout", ["shared", "separate"])
def test_attention_is_that_of_the_block(arch: str, layout: str) -> None:
    """What a block takes from its values, held against the values weighted by what is shown."""
    encoder = small(arch=arch, layout=layout, heads=1, dropout=0.0).eval()
    codes = encoder.clip_context(sounds(2))
    assert codes is not None
    backbone: Any = encoder.backbones[1 if layout == "separate" else 0]
    layer = backbone.blocks[1]
    seen: dict[str, torch.Tensor] = {}
    layer.attention["self"]["value"].register_forward_hook(lambda *given: seen.update(values=given[2]))
    layer.attention["output"]["dense"].register_forward_hook(lambda *given: seen.update(taken=given[1][0]))
    with torch.no_grad():
        encoder.read(codes.long(), 1)
        shown = code_figures.attention(encoder, codes.long(), 1, 2)
    assert shown.shape == (2, 52, 52)
    assert torch.allclose(shown.sum(-1), torch.ones(2, 52), atol=1e-5)
    assert torch.allclose(shown @ seen["values"], seen["taken"], atol=1e-5)


@pytest.mark.parametrize(("layout", "columns"), [("shared", 2), ("summed", 1)])
def test_a_picture_of_attention_has_a_column_a_sequence(layout: str, columns: int) -> None:
    pytest.importorskip("matplotlib")
    encoder = small(layout=layout).eval()
    figure = code_figures.draw_attention(encoder, CLIP)
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == columns * len({max(1, encoder.depth // 2), encoder.depth})
    assert titles[-1] == (f"codebook {columns}" if layout == "shared" else "all codebooks") + f", block {encoder.depth}"


def test_accuracy_is_drawn_beside_copying(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lines = [{"step": step, "loss": 3.0, "accuracy": 0.01 * step, "copy_accuracy": 0.05} for step in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    model, copied = code_figures.draw_accuracy(tmp_path).axes[0].get_lines()
    assert model.get_ydata() == pytest.approx([1, 2, 3])
    assert copied.get_ydata() == pytest.approx([5, 5, 5])
    done = CliRunner().invoke(figures.main, ["accuracy", str(tmp_path), "-o", str(tmp_path / "x.png")])
    assert done.exit_code == 0, done.output
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 3.0}) + "\n")
    done = CliRunner().invoke(figures.main, ["accuracy", str(tmp_path), "-o", str(tmp_path / "x.png")])
    assert "no log of masked language modelling" in done.output
