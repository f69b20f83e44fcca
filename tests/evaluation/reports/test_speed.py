"""The timing command: who is compared with whom, and which round counts. The times themselves are not tested."""

import json

import pytest
import torch
from click.testing import CliRunner

from evaluation.reports import speed
from hear_audioformer import mast


def test_best_round_of_each_counts_and_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    took = {"slow": [0.1, 9.0, 7.0, 8.0], "fast": [0.1, 2.0, 3.0, 1.0]}
    order: list[str] = []

    def run(name: str) -> None:
        nonlocal now
        now += took[name][order.count(name)]
        order.append(name)

    monkeypatch.setitem(speed.CLOCKS, "wall", lambda: now)
    runs = {"slow": lambda: run("slow"), "fast": lambda: run("fast")}
    best = speed.best_seconds(runs, 3, torch.device("cpu"))
    assert best == pytest.approx({"slow": 7.0, "fast": 1.0})
    assert order == ["slow", "fast"] * 4


def test_mast_is_compared_with_ast_of_its_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mast.SIZES, "tiny", (8, (1, 1, 1, 1)))
    monkeypatch.setitem(speed.ast.SIZES, "tiny", (12, 1, 1))
    models = speed.mast_beside_ast("tiny", 128, torch.device("cpu"))
    assert {name: against for name, (_, against) in models.items()} == {
        "ast fp32": "ast fp32",
        "mast fp32": "ast fp32",
        "mast-norel fp32": "ast fp32",
        "ast bf16": "ast bf16",
        "mast bf16": "ast bf16",
        "mast-norel bf16": "ast bf16",
    }
    options = ["--size", "tiny", "--frames", "128", "--rounds", "1", "--seconds", "0.5", "--batch", "2"]
    result = CliRunner().invoke(speed.main, ["mast", *options, "--json"])
    assert result.exit_code == 0, result.output
    [line] = [json.loads(line) for line in result.output.splitlines()]
    assert line["batch"] == 2
    assert set(line["clips_per_second"]) == set(models)
    assert all(rate > 0 for rate in line["clips_per_second"].values())
