"""Rates over a run, and what the open-ended schedule is for: longer runs, and models from any checkpoint."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric

from tests.training.test_loop import final, noise, small_objective, weights
from training import logs
from training.loop import Settings, train
from training.schedule import warmup_stable_decay

LONG: dict[str, Any] = {"steps": 1000, "batch": 4, "lr": 1e-2, "warmup": 2, "ema": 0.9, "schedule": "wsd"}


def go(folder: Path, until: int | None = None, branch: Path | None = None, **changes: Any) -> torch.Tensor:
    """A run as a recipe would have it; the checkpoint knows the recipe."""
    loop = {**LONG, "log_every": 1, **changes}
    facts = {"recipe": {"name": "test", "loop": loop}, "corpus": "0"}
    fabric = Fabric(accelerator="cpu", devices=1)
    made = train(small_objective(), noise, Settings(**loop), folder, fabric, facts=facts, until=until, branch=branch)
    return weights(made)


def test_warm_up_plateau_and_decay() -> None:
    rates = [warmup_stable_decay(step, 100, 2.0, warmup=10, cooldown=16, end=0.4) for step in range(101)]
    assert rates[:11] == pytest.approx([0.2 * step for step in range(11)])
    assert set(rates[10:85]) == {2.0}
    assert rates[88] == pytest.approx(2.0 - 1.6 * 0.5)  # a quarter of the way: one minus its root
    assert rates[100] == pytest.approx(0.4)
    assert all(later < sooner for sooner, later in pairwise(rates[84:]))


def test_before_it_cools_down_a_run_does_not_know_its_length() -> None:
    short, long = Settings(**{**LONG, "steps": 50, "cooldown": 20}), Settings(**LONG)
    assert [short.lr_at(step) for step in range(30)] == [long.lr_at(step) for step in range(30)]
    assert short.lr_at(31) < long.lr_at(31)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"schedule": "steps"}, "loop.schedule='steps': choose cosine or wsd"),
        ({"schedule": "cosine", "cooldown": 5}, "loop.cooldown belongs to"),
        ({"weight_decay_end": 0.1}, "loop.weight_decay_end follows the length"),
        ({"cooldown": 999}, "does not fit behind 2 steps of warm-up"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Settings(**{**LONG, **changes})


def test_a_run_is_made_longer(tmp_path: Path) -> None:
    """Four steps that were to be the whole run, then six of a longer one: as if it had been the longer one at once."""
    go(tmp_path / "run", steps=4)
    longer = go(tmp_path / "run", steps=6)
    assert torch.equal(longer, go(tmp_path / "at once", steps=6))
    assert [line["step"] for line in logs.read(tmp_path / "run" / "log.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_a_branch_cools_down_and_the_run_goes_on(tmp_path: Path) -> None:
    go(tmp_path / "long", until=6, keep_every=3, checkpoint_seconds=1e9)
    start = tmp_path / "long" / "step-00000003.ckpt"
    branch = {"steps": 6, "cooldown": 3}
    cooled = go(tmp_path / "branch", branch=start, **branch)
    assert not torch.equal(cooled, go(tmp_path / "long", until=6))
    assert torch.equal(cooled, go(tmp_path / "at once", **branch))
    lines = logs.read(tmp_path / "branch" / "log.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["lr"] < lines[2]["lr"]
    assert final(tmp_path / "branch")["step"] == 6


def test_a_killed_branch_goes_on_by_itself(tmp_path: Path) -> None:
    go(tmp_path / "long", until=3)
    start = tmp_path / "long" / "step-00000003.ckpt"
    branch = {"steps": 7, "cooldown": 3}
    go(tmp_path / "branch", until=5, branch=start, **branch)
    assert torch.equal(go(tmp_path / "branch", branch=start, **branch), go(tmp_path / "at once", **branch))


def test_what_has_begun_to_cool_down_is_another_run(tmp_path: Path) -> None:
    go(tmp_path, until=5, steps=6, cooldown=3)
    with pytest.raises(ValueError, match="is of another run: recipe differ"):
        go(tmp_path, steps=9, cooldown=3)


def test_another_rate_is_another_run(tmp_path: Path) -> None:
    go(tmp_path, until=3)
    with pytest.raises(ValueError, match="is of another run: recipe differ"):
        go(tmp_path, lr=2e-2)
