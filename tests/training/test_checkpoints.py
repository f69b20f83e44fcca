"""Checkpoints: whole or not there, as many as asked for, of this run only, with all that going on needs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision

from tests.training.test_loop import Line, final, noise, run, small_objective, weights
from training import checkpoints, logs, progress
from training.loop import Settings, train


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    """And what others put there; what a killed run left half written goes."""
    (tmp_path / "step-best.ckpt").touch()
    (tmp_path / "step-00000003.part").touch()
    run(tmp_path, keep=2, checkpoint_seconds=0.0)
    names = ["step-00000005.ckpt", "step-00000006.ckpt", "step-best.ckpt"]
    assert sorted(path.name for path in tmp_path.glob("step-*")) == names


def test_a_half_written_checkpoint_is_not_used(tmp_path: Path) -> None:
    run(tmp_path, until=2)
    fabric = Fabric(accelerator="cpu", devices=1)

    def killed(path: Path, state: dict[str, Any]) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    fabric.save = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(fabric, tmp_path, 4, {}, keep=1)
    newest = checkpoints.latest(tmp_path)
    assert newest is not None
    assert newest.name == "step-00000002.ckpt"
    assert torch.equal(weights(run(tmp_path)), weights(run(tmp_path / "whole")))


@pytest.mark.parametrize("objective", [small_objective, Line])
def test_another_run_is_not_gone_on_with(tmp_path: Path, objective: Any) -> None:
    """Nor one of other shapes, which is told in the same words."""
    run(tmp_path, until=2)
    settings, fabric = Settings(steps=6, batch=4, lr=1e-2, ema=0.9), Fabric(accelerator="cpu", devices=1)
    with pytest.raises(ValueError, match="is of another run: recipe differ; choose another folder"):
        train(objective(), noise, settings, tmp_path, fabric, facts={"recipe": "other"})


def test_a_checkpoint_without_some_weight_is_an_error(tmp_path: Path) -> None:
    run(tmp_path, until=2)
    saved = final(tmp_path)
    del saved["model"]["mask_token"]
    torch.save(saved, tmp_path / "step-00000002.ckpt")
    with pytest.raises(RuntimeError, match="mask_token"):
        run(tmp_path)


def test_the_scale_of_half_precision_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It doubles every step here; a run that forgot it would be at 8 after its third step."""
    monkeypatch.setattr(progress, "peak_flops", lambda *_: 1.0)  # minutes, for fp16 on a CPU
    settings = Settings(steps=3, batch=4, lr=1e-2, log_every=1)
    for until in (2, None):
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
        train(Line(), noise, settings, tmp_path, fabric, until=until)
    assert final(tmp_path)["precision"]["scale"] == 32.0


def test_a_log_goes_on_where_its_run_does(tmp_path: Path) -> None:
    """Lines after the checkpoint, and half a line, are of a run that was killed."""
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": null}\n{"step": 3, "lo')
    log = logs.Log(tmp_path, 1)
    log.write(2, {"loss": 2.0})
    log.close()
    assert logs.read(tmp_path / "log.jsonl") == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}]


def test_milestones_stay(tmp_path: Path) -> None:
    run(tmp_path, keep=1, keep_every=2, checkpoint_seconds=1e9)
    names = [f"step-{step:08}.ckpt" for step in (2, 4, 6)]
    assert sorted(path.name for path in tmp_path.glob("step-*")) == names
