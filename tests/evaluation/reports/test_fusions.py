"""What a fusion's parts are worth: the combinations, their columns, and that nothing is scored twice."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.reports import fusions
from evaluation.scoring import scene
from tests.conftest import small_fusion, write_model
from tests.evaluation import toy


def test_every_combination_stands_once_and_the_whole_first() -> None:
    made = fusions.candidates(["a", "b", "c"], dims=[2])
    assert [candidate.label for candidate in made] == [
        "a + b + c", "the same, 2 principal components", "a + b", "a + c", "b + c", "a", "b", "c",
    ]  # fmt: skip


def test_a_combination_has_its_parts_columns() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(2, 6)
    axes = np.eye(6, dtype=np.float32)[::-1]
    some = fusions.Candidate("a + c", (0, 2)).of(vectors, [1, 2, 3], axes)
    assert some.tolist() == [[0, 3, 4, 5], [6, 9, 10, 11]]
    projected = fusions.Candidate("2", (0, 1, 2), 2).of(vectors, [1, 2, 3], axes)
    assert projected.tolist() == [[5, 4], [11, 10]]


def test_the_command_prints_all_and_scores_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = tmp_path / "suite" / "tasks"
    toy.tones(suite)
    model = write_model(small_fusion(), "fusion", tmp_path / "fused.safetensors")
    arguments = [str(model), "--tasks", str(suite), "--dims", "3", "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(fusions.main, arguments)
    assert first.exit_code == 0, first.output
    rows = [line for line in first.stdout.splitlines() if line.startswith("| ")][1:]
    parts = small_fusion().config.parts
    assert len(rows) == 2 ** len(parts)  # every combination but the empty one, and a projection
    assert rows[0].startswith(f"| {' + '.join(part.name for part in parts)} | {sum(part.scene for part in parts)} |")
    assert rows[0].endswith("|  |")
    assert rows[1].startswith("| the same, 3 principal components | 3 |")
    monkeypatch.setattr(scene, "score", None)
    assert CliRunner().invoke(fusions.main, arguments).stdout == first.stdout
    refused = CliRunner().invoke(fusions.main, [*arguments, "--dims", "100000"])
    assert "principal components" in refused.output
    assert refused.exit_code == 2
