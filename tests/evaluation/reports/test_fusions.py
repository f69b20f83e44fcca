"""What a fusion's parts are worth: the combinations, their columns, and that nothing is scored twice."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.reports import fusions
from evaluation.scoring import scene
from hear_audioformer.fusion import Part
from tests.conftest import small_fusion, write_model
from tests.evaluation import toy


def parts(**kinds: str) -> list[Part]:
    return [Part(**{kind: name}) for name, kind in kinds.items()]  # type: ignore[arg-type]


def test_what_is_scored() -> None:
    made = fusions.candidates(parts(a="model", b="model", c="front", d="front"), dims=[2])
    assert [candidate.label for candidate in made] == [
        "a + b + c + d", "the same, dims=2", "without a", "without b", "without c", "without d", "models",
        "front ends", "a", "b", "c", "d",
    ]  # fmt: skip
    assert made[3].parts == (0, 2, 3)
    assert [candidate.label for candidate in fusions.candidates(parts(a="model", c="front"))] == ["a + c", "a", "c"]
    assert len(fusions.candidates(parts(a="model"))) == 1


def test_a_row_has_its_parts_columns() -> None:
    vectors = np.arange(14, dtype=np.float32).reshape(2, 7)
    some = fusions.Candidate("a + c", (0, 2)).of(vectors, [1, 2, 4])
    assert some.tolist() == [[0, 3, 4, 5, 6], [7, 10, 11, 12, 13]]
    fewer = fusions.Candidate("fewer", (0, 1, 2), 3).of(vectors, [1, 2, 4])
    assert fewer.tolist() == [[1, 3, 4], [8, 10, 11]]


def test_the_command_prints_all_and_scores_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = tmp_path / "suite" / "tasks"
    toy.tones(suite)
    model = write_model(small_fusion(components=4), "fusion", tmp_path / "fused.safetensors")
    arguments = [str(model), "--tasks", str(suite), "--dims", "3", "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(fusions.main, arguments)
    assert first.exit_code == 0, first.output
    rows = [line for line in first.stdout.splitlines() if line.startswith("| ")][1:]
    config = small_fusion(components=4).config
    assert len(rows) == 4 + 2 * len(config.parts)
    assert rows[0].startswith(f"| {' + '.join(part.name for part in config.parts)} | {sum(config.sizes('scene'))} |")
    assert rows[0].endswith("|  |")
    assert rows[1].startswith("| the same, dims=3 | 3 |")
    monkeypatch.setattr(scene, "score", None)
    assert CliRunner().invoke(fusions.main, arguments).stdout == first.stdout
    refused = CliRunner().invoke(fusions.main, [*arguments, "--dims", "100000"])
    assert "principal components" in refused.output
    assert refused.exit_code == 2
