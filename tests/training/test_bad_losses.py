"""NaN and infinite losses and gradients: left out, counted, named, and no more than so many in a row."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.test_loop import Line, run, weights
from training import logs
from training.loop import DivergedError


def test_bad_losses_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective = Line(bad=(1, 2))
    run(tmp_path, objective, steps=4, log_every=2)
    assert torch.isfinite(weights(objective)).all()
    assert "step 1: 1 losses were NaN or infinite (fit); step left out" in capsys.readouterr().out
    lines = logs.read(tmp_path / "log.jsonl")
    assert [line["left_out"] for line in lines] == [1, 1]
    assert all(line["loss"] == line["fine"] for line in lines)  # of the steps that counted


def test_a_run_that_stays_bad_ends(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"no finite loss for 3 steps up to step 2 \(1 losses .* lower loop.lr"):
        run(tmp_path, Line(bad=tuple(range(99))), steps=50, patience=2)
    with pytest.raises(DivergedError, match="no finite loss for 3 steps up to step 6"):  # in a row, that is
        run(tmp_path / "later", Line(bad=(0, 1, 4, 5, 6)), steps=50, patience=2)


def test_every_part_of_a_step_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Once(Line):
        calls = 0

        def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            self.calls += 1
            return super().forward(audio, 1 if self.calls == 1 else 0)

    objective = Once(bad=(1,))
    run(tmp_path, objective, steps=1, warmup=0, accumulate=2)
    assert torch.equal(weights(objective), weights(Line()))
    assert "step 0: 1 losses were NaN or infinite (fit); step left out" in capsys.readouterr().out


def test_a_bad_gradient_of_a_good_loss_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Steep(Line):
        def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            return (0.0 * self.weight.sum()).sqrt(), {}

    objective = Steep()
    run(tmp_path, objective, steps=1, warmup=0)
    assert torch.equal(weights(objective), weights(Line()))
    assert "step 0: the gradient was NaN or infinite; step left out" in capsys.readouterr().out
    text = (tmp_path / "log.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["grad_norm"] is None  # not JSON's is a bare NaN
    assert logs.dump(logs.read(tmp_path / "log.jsonl")) == text
