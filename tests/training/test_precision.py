"""Mixed precision: matrix products are rounded, crops and their features are not."""

from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from training import precision
from training.precision import plugin
from training.pretrain import build, fabric_for
from training.recipe import read_finetuning, read_recipe

SMALL = {
    "msm-mae-open": [
        "encoder={width: 24, depth: 1, heads: 2, frames: 96}",
        "objective={width: 16, depth: 1, heads: 2}",
    ],
    "asit-open": ["encoder={width: 24, depth: 1, heads: 2, frames: 112, sample_rate: 16000}"],
}


def fabric(kind: str) -> Fabric:
    return fabric_for(kind)


@pytest.mark.parametrize("name", SMALL)
def test_features_are_those_of_embedding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objective: Any = build(read_recipe(name, SMALL[name]))
    seen: list[Tensor] = []
    features = objective.encoder.features

    def noted(audio: Tensor, *place: Any) -> Tensor:
        found = features(audio, *place)
        with torch.autocast("cpu", enabled=False):
            seen.extend([found, features(audio.float(), *place)])
        return found

    monkeypatch.setattr(objective.encoder, "features", noted)
    audio = torch.rand(4, objective.crop) - 0.5
    given: list[Tensor] = []
    handle = objective.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    loss, _ = fabric("bf16-mixed").setup_module(objective)(audio, 0)
    handle.remove()
    assert loss.isfinite()
    assert given[0] is audio
    assert len(seen) >= 2
    assert all(torch.equal(*pair) for pair in zip(seen[::2], seen[1::2], strict=True))


def test_the_network_runs_in_low_precision() -> None:
    class Dtypes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.found: list[torch.dtype] = []

        def forward(self, x: Tensor) -> Tensor:
            self.found = [x.dtype, self.layer(x).dtype]
            return x

    module = Dtypes()
    fabric("bf16-mixed").setup_module(module)(torch.zeros(2, 3))
    assert module.found == [torch.float32, torch.bfloat16]
    fabric("32-true").setup_module(module)(torch.zeros(2, 3))
    assert module.found == [torch.float32, torch.float32]


def test_fp16_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="bf16-mixed"):
        plugin("16-mixed")


def test_auto_is_what_the_machine_multiplies_faster_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice stands in the run as if it had been written."""
    for fast, name in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(precision, "fast_in_bf16", lambda fast=fast: fast)
        for recipe in (read_recipe("msm-mae-open"), read_finetuning("hear", ["model=m", "data=d"])):
            assert recipe.precision == "auto"
            chosen = precision.settled(recipe)
            assert chosen.precision == chosen.raw["precision"] == name
    given = read_recipe("msm-mae-open", ["precision=32-true"])
    assert precision.settled(given) is given


def test_the_faster_product_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for half, whole in ((1.0, 2.0), (2.0, 1.0)):
        seconds = {torch.bfloat16: half, torch.float32: whole}
        monkeypatch.setattr(precision, "_seconds", seconds.__getitem__)
        assert precision.fast_in_bf16() == (half < whole)
