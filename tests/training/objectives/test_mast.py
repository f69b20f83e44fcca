"""MAST's objective, and AST by the same recipe: how they begin, what decays, and from the command line to a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from lightning.fabric import Fabric

from evaluation.baselines import ast
from evaluation.scoring.scores import mean_precision
from hear_audioformer import checkpoint, load_model
from tests.bundles import use_bundle
from tests.training.data.labelled_corpus import solos
from training import export, logs, methods
from training.data import make_labelled_set
from training.data.labelled_set import LabelledSet, Valid
from training.loop import Settings, _groups
from training.objectives import no_decay
from training.objectives.mast import initialise
from training.pretrain import build, main
from training.recipe import Recipe, read_recipe
from training.validation import MeanPrecision

SMALL = {
    "mast": "encoder={size: nano, width: 16, frames: 56}",
    "ast": "encoder={width: 24, depth: 2, heads: 2, frames: 56}",
}
QUICK = ["loop.steps=4", "loop.batch=4", "loop.log_every=1", "loop.watch_every=2", "precision=32-true"]


def recipe(method: str, *changes: str) -> Recipe:
    return read_recipe("mast-open", [f"method={method}", SMALL[method], *changes])


@pytest.mark.parametrize("method", SMALL)
def test_it_begins_as_vision_transformers_do(method: str) -> None:
    objective: Any = build(recipe(method, "objective.classes=7"))
    matrices = {name: p for name, p in objective.encoder.named_parameters() if name.endswith("mlp.up.weight")}
    assert len(matrices) >= 2
    assert all(p.std().item() == pytest.approx(0.02, rel=0.1) and p.abs().max() < 2.1 for p in matrices.values())
    assert not any(p.any() for name, p in objective.encoder.named_parameters() if name.endswith("mlp.up.bias"))
    assert objective.head.linear.bias.sigmoid().tolist() == pytest.approx([0.03] * 7)
    tables = [p for name, p in objective.encoder.named_parameters() if ".relative." in name]
    assert all(p.std().item() == pytest.approx(0.02, rel=0.2) for p in tables)
    assert bool(tables) is (method == "mast")


def test_the_class_layer_stands_on_the_last_stage_alone() -> None:
    objective: Any = build(recipe("mast"))
    assert objective.head.linear.in_features == 16 << 3
    assert objective.encoder.dim == 16 * 15


def test_blocks_are_skipped_the_more_often_the_later_they_are() -> None:
    objective: Any = build(recipe("mast", "objective.drop_path=0.4"))
    assert [block.drop_prob for block in objective.encoder.blocks] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert all(block.drop_prob == 0.0 for block in build(recipe("mast", "objective.drop_path=0.0")).encoder.blocks)  # type: ignore[union-attr, operator]


def test_tables_of_positions_are_not_decayed() -> None:
    objective: Any = build(recipe("mast"))
    tables = {name for name, _ in objective.named_parameters() if ".relative." in name}
    assert len(tables) == 10
    assert tables < no_decay(objective)
    settings = Settings(steps=1, batch=1, lr=1.0)
    kept = [p for group in _groups(objective, settings) if not group["decays"] for p in group["params"]]
    assert {id(p) for name, p in objective.named_parameters() if name in tables} <= {id(p) for p in kept}
    assert "encoder.blocks.0.mlp.up.weight" not in no_decay(objective)
    assert {"encoder.cls", "encoder.positions"} < no_decay(build(recipe("ast")))


def labelled(tmp_path: Path) -> list[str]:
    """A small labelled set, and the changes that name it."""
    table = make_labelled_set.make(tmp_path / "set", [solos(tmp_path / "solos")], 12, 0.5, seed=0)
    return [f"data.labelled={table.folder}", f"objective.classes={len(table.classes)}", "objective.seconds=0.5"]


def run(method: str, folder: Path, *changes: str) -> None:
    result = CliRunner().invoke(main, ["mast-open", str(folder), f"method={method}", SMALL[method], *QUICK, *changes])
    assert result.exit_code == 0, (result.output, result.exception)


@pytest.mark.parametrize("method", SMALL)
def test_from_the_command_line_to_a_model(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One recipe for both; a run in two days equals one in one; what comes out embeds."""
    told = labelled(tmp_path)
    run(method, tmp_path / "whole", *told)
    run(method, tmp_path / "parts", *told, "--until", "2")
    run(method, tmp_path / "parts", *told)
    whole, parts = (
        torch.load(tmp_path / name / "step-00000004.ckpt", weights_only=True) for name in ("whole", "parts")
    )
    assert all(torch.equal(parts["model"][name], tensor) for name, tensor in whole["model"].items())
    lines = logs.read(tmp_path / "whole" / "log.jsonl")
    assert [line["step"] for line in lines if "valid_map" in line] == [2, 4]
    assert all(0 < line["valid_map"] <= 1 for line in lines if "valid_map" in line)

    use_bundle(monkeypatch, tmp_path / "weights")
    options = ["--licence", "CC0-1.0", "--hardware", "a CPU", "--out", str(tmp_path / "weights")]
    result = CliRunner().invoke(export.main, [str(tmp_path / "whole"), "small", *options])
    assert result.exit_code == 0, result.output
    file = tmp_path / "weights" / "small.safetensors"
    model = load_model("small") if method == "mast" else ast.load_model(str(file))
    scene = model.scene(0.1 * torch.randn(2, 9000))
    assert scene.shape == (2, 240 if method == "mast" else 24)
    assert torch.isfinite(scene).all()
    header = checkpoint.read_header(file)
    assert (header.method, header.provenance["crops"]) == (method, 16)
    assert header.provenance["corpus_sha256"] == LabelledSet.open(tmp_path / "set").fingerprint


def test_it_learns_to_tell_low_from_high(tmp_path: Path) -> None:
    told = [*labelled(tmp_path), "data.mixtures={shares: [1.0]}", "loop.steps=40", "loop.batch=16", "loop.lr=0.05"]
    run("mast", tmp_path / "run", *told, "loop.warmup=2", "loop.ema=null", "loop.watch_every=40", "loop.clip=null")
    table = LabelledSet.open(tmp_path / "set")
    untrained = MeanPrecision(build(recipe("mast", *told)), table.valid(), Fabric(accelerator="cpu"))()
    assert logs.read(tmp_path / "run" / "log.jsonl")[-1]["valid_map"] > untrained["valid_map"] + 0.1


def test_a_wrong_number_of_classes_is_told(tmp_path: Path) -> None:
    told = labelled(tmp_path)
    number = json.loads((tmp_path / "set" / "set.json").read_text())["classes"]
    arguments = ["mast-open", str(tmp_path / "run"), SMALL["mast"], *QUICK, *told, "objective.classes=3"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert f"has {len(number)} classes: set objective.classes" in result.output
    result = CliRunner().invoke(main, ["mast-open", str(tmp_path / "run"), SMALL["mast"], *QUICK])
    assert "name a labelled set: data.labelled=FOLDER" in result.output


def test_what_is_watched_is_the_rank_of_the_mixtures() -> None:
    """The class is whether the clip is loud; a model that answers by level ranks them perfectly, its opposite worst."""
    turn = np.random.RandomState(0)
    targets = (turn.rand(120, 1) < 0.5).astype(np.uint8)
    audio = (turn.standard_normal((120, 400)) * np.where(targets, 3000, 300)).astype(np.int16)

    class Level(torch.nn.Module):
        sign = 1.0

        def logits(self, audio: torch.Tensor, lengths: list[int]) -> torch.Tensor:
            assert not self.training
            assert lengths == [400] * len(audio)
            return self.sign * audio.std(1, keepdim=True)

    level = Level()
    watched = MeanPrecision(level, Valid(audio, targets), Fabric(accelerator="cpu"))
    assert watched() == {"valid_map": pytest.approx(1.0)}
    assert level.training
    level.sign = -1.0
    worst = mean_precision({"truth": targets, "predicted": -targets.astype(float)}, np.ones((1, 120)))
    assert watched()["valid_map"] < float(worst[0]) + 0.1


def test_sizes_are_models_to_start_from() -> None:
    found = methods.sized("mast-nano")
    assert found
    assert (found[0], found[1]["width"], found[1]["depths"]) == ("mast", 32, (1, 1, 2, 1))
    assert [methods.sized(name) for name in ("mast-huge", "nobody-tiny", "mast", "msm-mae-tiny")] == [None] * 4
    one, again, other = (methods.fresh(*found, seed).state_dict() for seed in (1, 1, 2))
    name = "blocks.0.mlp.up.weight"
    assert torch.equal(one[name], again[name])
    assert not torch.equal(one[name], other[name])


def test_drawing_anew_forgets_what_was_there() -> None:
    encoder: Any = methods.module_of("mast").Mast(methods.module_of("mast").Config.of_size("nano"))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "norm" not in name and "kernel" not in name and "stem" not in name:
                parameter.fill_(9.0)
    initialise(encoder)
    assert max(p.abs().max().item() for p in encoder.parameters()) < 1.1
