"""The second stage with labels: from a model of another method, through some of its blocks, to a model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from hear_audioformer import checkpoint, load_model
from tests.bundles import use_bundle
from tests.training.data.labelled_corpus import solos
from training import export, logs
from training.data import make_labelled_set
from training.objectives import block_of
from training.pretrain import build, learner, main, start
from training.recipe import read_recipe

SMALL = "encoder={width: 192, depth: 2, heads: 3, frames: 208, patch: [16, 8], mean: -7.1, std: 4.2}"
QUICK = [
    "loop.steps=4",
    "loop.warmup=1",
    "loop.cooldown=2",
    "loop.batch=4",
    "loop.log_every=1",
    "loop.watch_every=2",
    "precision=32-true",
]


def test_it_goes_on_from_the_first_blocks_of_a_model() -> None:
    recipe = read_recipe("msm-mae-labels", [SMALL, "data.labelled=x"])
    objective: Any = learner(recipe)
    assert start(recipe, objective)["init"]
    _, tensors = checkpoint.read(Path("weights/msm-mae-tiny.safetensors"))
    state = objective.encoder.state_dict()
    assert len(objective.encoder.blocks) == 2
    assert all(torch.equal(state[name], tensors[name].float()) for name in state)
    assert {block_of(name) for name in tensors} == set(range(12))
    assert block_of("norm.weight") == 0


@pytest.mark.parametrize(("method", "blocks", "fresh"), [("asit", 6, set()), ("mast", 8, {"norm.weight", "norm.bias"})])
def test_other_methods_go_on_from_their_first_blocks(method: str, blocks: int, fresh: set[str]) -> None:
    recipe = read_recipe(f"{method}-labels", ["data.labelled=x"])
    objective: Any = learner(recipe)
    begun = {name: tensor.clone() for name, tensor in objective.encoder.state_dict().items() if name in fresh}
    assert start(recipe, objective)["init"]
    _, tensors = checkpoint.read(Path(f"weights/{method}-tiny.safetensors"))
    state = objective.encoder.state_dict()
    assert len(objective.encoder.blocks) == blocks
    assert {name for name in state if state[name].shape != tensors[name].shape} == set(begun)
    assert all(torch.equal(state[name], begun.get(name, tensors[name]).float()) for name in state)


def test_its_head_stands_on_mean_and_deviation_and_expects_few_classes() -> None:
    objective: Any = build(read_recipe("msm-mae-labels", [SMALL, "objective.classes=9", "data.labelled=x"]))
    assert objective.head.linear.in_features == 2 * 5 * 192
    assert objective.head.linear.bias.sigmoid().tolist() == pytest.approx([0.02] * 9)
    assert objective.loss == "bce"


def test_from_the_command_line_to_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_labelled_set.make(tmp_path / "set", [solos(tmp_path / "solos")], 12, 0.5, seed=0)
    told = [f"data.labelled={table.folder}", f"objective.classes={len(table.classes)}", "objective.seconds=0.5", SMALL]
    result = CliRunner().invoke(main, ["msm-mae-labels", str(tmp_path / "run"), *QUICK, *told])
    assert result.exit_code == 0, (result.output, result.exception)
    lines = logs.read(tmp_path / "run" / "log.jsonl")
    assert [line["step"] for line in lines if "valid_map" in line] == [2, 4]
    use_bundle(monkeypatch, tmp_path / "weights")
    options = ["--licence", "CC0-1.0", "--hardware", "a CPU", "--out", str(tmp_path / "weights"), "--pool", "mean+std"]
    result = CliRunner().invoke(export.main, [str(tmp_path / "run"), "small-labels", *options])
    assert result.exit_code == 0, result.output
    header = checkpoint.read_header(tmp_path / "weights" / "small-labels.safetensors")
    assert header.provenance["recipe"]["stage"] == "labels"
    assert load_model("small-labels").scene(0.1 * torch.randn(2, 9000)).shape == (2, 1920)
