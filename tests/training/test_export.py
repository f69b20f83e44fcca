"""From a run to a model by name: what was trained is what is loaded."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner
from lightning.fabric import Fabric

from hear_audioformer import checkpoint, load_model
from hear_audioformer.facts import facts
from hear_audioformer.index import index
from tests.bundles import use_bundle
from tests.training.test_loop import noise
from training import checkpoints, export, logs
from training.loop import Settings, train
from training.pretrain import build
from training.recipe import Recipe

RECIPE: dict[str, Any] = {
    "name": "small",
    "method": "msm-mae",
    "seed": 3,
    "precision": "32-true",
    "encoder": {"width": 24, "depth": 1, "heads": 2, "frames": 96, "mean": -6.0, "std": 3.0},
    "objective": {"width": 16, "depth": 1, "heads": 2},
    "data": {"shares": {"speech": 0.6, "music": 0.3}},
    "loop": {"steps": 3, "batch": 4, "lr": 0.1, "log_every": 1},
}


def trained(run: Path, recipe: dict[str, Any] = RECIPE, **loop: Any) -> dict[str, Any]:
    """A short run of a recipe; returns its last checkpoint."""
    recipe = {**recipe, "loop": {**recipe["loop"], **loop}}
    facts = {"recipe": recipe, "corpus": "abc", "hours": 1.5}
    fabric = Fabric(accelerator="cpu", devices=1)
    train(build(Recipe.parse(recipe)), noise, Settings(**recipe["loop"]), run, fabric, seed=3, facts=facts)
    newest = checkpoints.latest(run)
    assert newest is not None
    return torch.load(newest, weights_only=True)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_run_becomes_a_model_by_name(tmp_path: Path, ema: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = trained(tmp_path / "run", ema=ema)
    use_bundle(monkeypatch, tmp_path / "weights")
    options = ["--licence", "Apache-2.0", "--hardware", "a CPU", "--out", str(tmp_path / "weights")]
    result = CliRunner().invoke(export.main, [str(tmp_path / "run"), "mine", *options])
    assert result.exit_code == 0, result.output
    assert index().models["mine"].about == facts("mine")
    again = CliRunner().invoke(export.main, [str(tmp_path / "run"), "mine", *options])
    assert (again.exit_code, "pass --overwrite" in again.output) == (2, True)
    model = load_model()  # the first model of an index is its default
    header = checkpoint.read_header(tmp_path / "weights" / "mine.safetensors")
    names = [name for name, _ in build(Recipe.parse(RECIPE)).named_parameters()]
    wanted = dict(zip(names, saved["average"], strict=True)) if ema else saved["model"]
    for name, tensor in model.encoder.named_parameters():
        assert torch.allclose(tensor, wanted[f"encoder.{name}"], atol=1e-3)
    assert header.normalisation == {"mean": -6.0, "std": 3.0}
    assert header.provenance["steps"] == 3
    assert header.provenance["crops"] == 12
    assert header.provenance["corpus_sha256"] == "abc"
    assert header.provenance["averaged"] is bool(ema)
    assert header.provenance["hours_heard"] == round(12 * 0.96 / 3600, 1)
    assert logs.read(tmp_path / "weights" / "mine.jsonl") == logs.read(tmp_path / "run" / "log.jsonl")
    assert model.pool == "mean"


ASIT: dict[str, Any] = {
    **RECIPE,
    "method": "asit",
    "encoder": {"width": 24, "depth": 1, "heads": 2, "frames": 48},
    "objective": {
        "epoch": 1,
        "span": 0.96,
        "seconds": 0.6,
        "heads": {"hidden": 16, "bottleneck": 8, "cls": 12, "patch": 10, "paint_hidden": 16, "paint_bottleneck": 8},
    },
}


def test_a_teacher_is_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = trained(tmp_path / "run", ASIT, lr=2.0)["model"]
    use_bundle(monkeypatch, tmp_path)
    export.export(tmp_path / "run", "m", tmp_path, licence="CC0-1.0", hardware="a CPU")
    model = load_model("m")
    assert (model.pool, model.sample_rate) == ("cls+mean", 16000)
    student = 0.0
    for name, tensor in model.encoder.named_parameters():
        assert torch.allclose(tensor, saved[f"teacher.encoder.{name}"], atol=1e-3)
        student = max(student, float((tensor.detach() - saved[f"student.encoder.{name}"]).abs().max()))
    assert student > 1e-2


def test_a_method_pools_as_it_can(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    with pytest.raises(click.UsageError, match=r"msm-mae does not pool by cls; choose from mean, mean.std"):
        export.export(tmp_path / "run", "m", tmp_path, licence="CC0-1.0", hardware="a CPU", pool="cls")


def test_pooling_is_chosen_at_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "run")
    use_bundle(monkeypatch, tmp_path)
    export.export(tmp_path / "run", "m", tmp_path, licence="CC0-1.0", hardware="a CPU", pool="mean+std")
    assert load_model("m").pool == "mean+std"


def test_what_weights_do_not_depend_on_is_chosen_at_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "run")
    use_bundle(monkeypatch, tmp_path)
    command = [str(tmp_path / "run"), "m", "--licence", "x", "--hardware", "x", "--out", str(tmp_path), "--option"]
    result = CliRunner().invoke(export.main, [*command, "short=pad"])
    assert result.exit_code == 0, result.output
    assert load_model("m").encoder.pad_short
    for wrong, complaint in (("depth=9", "cannot be used"), ("shrot=pad", "shrot"), ("short", "KEY=VALUE")):
        result = CliRunner().invoke(export.main, [*command, wrong, "--overwrite"])
        assert result.exit_code == 2
        assert complaint in result.output


def test_training_time_is_that_of_the_log() -> None:
    lines = [{"step": 10.0, "crops_per_second": 4.0}, {"step": 15.0, "crops_per_second": 1.0}]
    assert export._hours(lines, batch=2) == pytest.approx((20 / 4 + 10 / 1) / 3600)


def test_the_index_keeps_its_other_models(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    for name in ("first", "second"):
        export.export(tmp_path / "run", name, tmp_path, licence="CC0-1.0", hardware="a CPU")
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["default"] == "first"
    assert list(index["models"]) == ["first", "second"]
    assert index["models"]["second"]["sha256"] == checkpoint.sha256(tmp_path / "second.safetensors")


def test_weights_that_overflow_are_refused(tmp_path: Path) -> None:
    trained(tmp_path / "run", lr=1e9, clip=None)
    result = CliRunner().invoke(
        export.main, [str(tmp_path / "run"), "x", "--licence", "x", "--hardware", "x", "--out", str(tmp_path)]
    )
    assert result.exit_code == 1
    assert "diverged" in result.output
    assert not (tmp_path / "x.safetensors").exists()
