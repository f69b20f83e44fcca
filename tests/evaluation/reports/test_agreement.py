"""Two tools' orders of the same models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.reports import agreement
from evaluation.scoring.records import FORMAT

CLIPS = 60


def probed(folder: Path, name: str, hits: int, sha256: str | None = None, **more: Any) -> None:
    """A file of results in which so many of the clips are right."""
    truth, right = [0] * CLIPS, [0] * hits + [1] * (CLIPS - hits)
    line = {
        "score": "accuracy",
        "value": hits / CLIPS,
        "columns": {"truth": truth, "predicted": right},
        "folds": [0] * CLIPS,
        "groups": [n // 2 % 30 for n in range(CLIPS)],
    }
    content = {"format": FORMAT, "module": name, "name": "tiny" if sha256 else "default", "head": "linear"}
    content |= {"model_sha256": sha256, "suite": "s", "options": {}, "tasks": {"drum": line, "esc50-v2.0.0-full": line}}
    file = folder / name / content["name"] / "s.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**content, **more}))


def table(path: Path, scores: dict[str, float], task: str = "drum-open1-full") -> Path:
    models = {
        model: {"scores": {"top1_acc": score, "mAP": 1 - score}, "deviation": None} for model, score in scores.items()
    }
    content = {"search": "faster-1", "tasks": {task: {"metric": "top1_acc", "models": models}}}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for module, hits in (("a.one", 55), ("a.two", 40), ("a.three", 39)):
        probed(tmp_path / "results", module, hits)
    probed(tmp_path / "results", "hear_audioformer.msm_mae", 20, "0123456789ab")
    return tmp_path


def one(folder: Path, file: Path) -> agreement.Agreement:
    [found] = agreement.agreements(agreement.compare.read(folder / "results"), [json.loads(file.read_text())])
    return found


KIT = {
    "a.one default": 0.9,
    "a.two default": 0.5,
    "a.three default": 0.6,
    "hear_audioformer.msm_mae tiny-01234567": 0.1,
}


@pytest.mark.parametrize("task", ["drum-open1-full", "esc50-v2.0.0-full"])
def test_models_are_matched_and_their_orders_compared(folder: Path, task: str) -> None:
    found = one(folder, table(folder / "table.json", {**KIT, "a.unknown default": 0.7}, task))
    assert found.task == task.removesuffix("-open1-full")
    assert dict(zip(found.models, zip(found.kit, found.probe, strict=True), strict=True)) == {
        "a.one": (0.9, 55 / 60),
        "a.two": (0.5, 40 / 60),
        "a.three": (0.6, 39 / 60),
        "tiny": (0.1, 20 / 60),
    }
    assert found.pairs == (5, 6)
    assert found.sure == (5, 5)  # two and three are too close to call
    assert found.kendall == pytest.approx(4 / 6)
    assert found.spearman == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_another_checkpoint_of_the_same_name_is_another_model(folder: Path) -> None:
    file = table(folder / "table.json", {**KIT, "hear_audioformer.msm_mae tiny-76543210": 0.95})
    assert one(folder, file).pairs == (5, 6)


def test_ties_share_a_rank() -> None:
    assert agreement._ranks([0.3, 0.1, 0.3, 0.2]).tolist() == [3.5, 1, 3.5, 2]


def test_nothing_agrees_with_itself_more() -> None:
    scores = np.random.RandomState(0).random_sample(7).tolist()
    same = agreement.Agreement("t", "s", [], scores, scores, (0, 0), (0, 0))
    other = agreement.Agreement("t", "s", [], scores, [-score for score in scores], (0, 0), (0, 0))
    assert (same.kendall, same.spearman) == (pytest.approx(1), pytest.approx(1))
    assert (other.kendall, other.spearman) == (pytest.approx(-1), pytest.approx(-1))


def test_the_command_prints_both(folder: Path) -> None:
    file = table(folder / "table.json", KIT)
    done = CliRunner().invoke(agreement.main, [str(folder / "results"), str(file)])
    assert done.exit_code == 0, done.output
    assert "| drum | faster-1 | a.one | 90.0 | 91.7 |" in done.output
    assert "| drum | faster-1 | 0.67 | 0.80 | 5 of 6 | 5 of 5 |" in done.output
    table(file, {"nobodys default": 0.3, "a.one default": 0.1})
    failed = CliRunner().invoke(agreement.main, [str(folder / "results"), str(file)])
    assert failed.exit_code == 1
    assert "no task has two models" in failed.output


def test_results_with_options_are_not_the_kits(folder: Path) -> None:
    probed(folder / "results", "a.two.again", 30, module="a.two", options={"seed": 1})
    assert one(folder, table(folder / "table.json", KIT)).pairs == (5, 6)
