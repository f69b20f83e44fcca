"""The command that scores a module: what it writes, keeps, goes on with and refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evaluation import probe
from evaluation.reports import compare
from tests.evaluation import stand_in, toy

MODULE = stand_in.__name__


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No calls noted by an earlier test, no failure left armed."""
    monkeypatch.setattr(stand_in, "calls", [])
    monkeypatch.setattr(stand_in, "fail_after", [])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "tasks"
    toy.beeps(folder)
    toy.tones(folder, "folds", toy.FOLDS)
    toy.tones(folder, "tones")
    return folder


@pytest.fixture
def suite(built: Path, tmp_path: Path) -> Path:
    """A folder such as ``python -m evaluation.suites.open`` leaves."""
    return Path(shutil.copytree(built, tmp_path / "toys" / "tasks"))


def call(suite: Path, *words: object) -> Result:
    out = ["--out", str(suite.parent / "results")] if "--out" not in words else []
    return CliRunner().invoke(probe.main, [MODULE, "--tasks", str(suite), *out, *map(str, words)])


def content(suite: Path, model: str = "default", name: str = "toys") -> dict[str, Any]:
    return json.loads((suite.parent / "results" / MODULE / model / f"{name}.json").read_text())


def test_what_is_printed_is_what_is_written(suite: Path) -> None:
    done = call(suite)
    assert done.exit_code == 0, done.output
    result = content(suite)
    assert (result["module"], result["suite"], result["head"], result["parameters"]) == (MODULE, "toys", "linear", 0)
    assert list(result["tasks"]) == ["beeps", "folds", "tones"]
    rows = {line.split()[0]: line.split() for line in done.output.splitlines()[2:]}
    for task, line in result["tasks"].items():
        low, high = (f"{100 * line[key]:.1f}" for key in ("low", "high"))
        knn = f"{100 * line['others']['knn']['value']:.1f}" if task != "beeps" else "-"
        shown = [line["score"], f"{100 * line['value']:.1f}", low, "to", high, knn, f"{100 * line['chance']:.1f}"]
        assert rows[task][1:-1] == shown
        assert line["value"] > 0.9
        assert line["low"] <= line["value"] <= line["high"]
    mean = sum(line["value"] for line in result["tasks"].values()) / 3
    interval = compare.Result(result).mean(result["tasks"])
    assert interval.value == pytest.approx(mean)
    assert rows["mean"][1:] == [f"{100 * mean:.1f}", f"{100 * interval.low:.1f}", "to", f"{100 * interval.high:.1f}"]
    assert result["tasks"]["beeps"]["extra"]["segment_error_rate"] < 0.3


def test_a_line_says_how_it_came_about(suite: Path) -> None:
    assert call(suite, "--only", "folds").exit_code == 0
    line = content(suite)["tasks"]["folds"]
    assert (line["clips"], line["test_clips"], line["test_groups"], line["drawn"]) == (48, 48, 16, "groups")
    assert (line["classes"], line["folds"]) == (3, [fold for fold in range(4) for _ in range(12)])
    assert len(line["chosen"]) == 4
    hits = [a == b for a, b in zip(line["columns"]["truth"], line["columns"]["predicted"], strict=True)]
    assert line["value"] == pytest.approx(sum(hits) / 48)


def test_nothing_is_embedded_twice(suite: Path) -> None:
    call(suite)
    before = content(suite)
    stand_in.calls.clear()
    assert call(suite).exit_code == 0
    assert not stand_in.calls
    assert {name: line["value"] for name, line in content(suite)["tasks"].items()} == {
        name: line["value"] for name, line in before["tasks"].items()
    }


def test_a_run_that_was_stopped_goes_on(suite: Path) -> None:
    assert call(suite, "--only", "beeps").exit_code == 0
    count = len(stand_in.calls)
    stand_in.calls.clear()
    stand_in.fail_after[:] = [2]  # within the next task
    assert call(suite).exit_code != 0
    assert list(content(suite)["tasks"]) == ["beeps"]
    stand_in.calls.clear()
    stand_in.fail_after.clear()
    assert call(suite).exit_code == 0
    assert list(content(suite)["tasks"]) == ["beeps", "folds", "tones"]
    assert count
    assert len(stand_in.calls) == 2 * 4  # a call a length of clip; the beeps are kept
    assert not list(suite.parent.rglob("*.part"))


def test_only_some_tasks_leave_the_others_results(suite: Path) -> None:
    call(suite, "--only", "tones")
    call(suite, "--only", "folds-open1-full,beeps")
    assert list(content(suite)["tasks"]) == ["beeps", "folds", "tones"]
    unknown = call(suite, "--only", "tunes")
    assert unknown.exit_code == 1
    assert "no task tunes in" in unknown.output
    assert "there are beeps, folds, tones" in unknown.output


def test_changed_clips_are_embedded_again(suite: Path) -> None:
    call(suite, "--only", "tones")
    stand_in.calls.clear()
    toy.tones(suite, "tones", seed=1)
    call(suite, "--only", "tones")
    assert stand_in.calls


def test_models_and_options_stay_apart(suite: Path, tmp_path: Path) -> None:
    for number in ("2", "3"):
        (tmp_path / f"times{number}.txt").write_text(number)
        assert call(suite, "--only", "tones", "--model", tmp_path / f"times{number}.txt").exit_code == 0
    assert call(suite, "--only", "tones", "--option", "scale=4.0").exit_code == 0
    [two, three, four] = [content(suite, name) for name in ("times2.txt", "times3.txt", "default-scale=4.0")]
    assert len({two["model_sha256"], three["model_sha256"]}) == 2
    assert four["options"] == {"scale": 4.0}
    assert len(list((suite.parent / "results" / "embeddings").iterdir())) == 3


def test_another_file_of_the_same_name_takes_the_place_of_the_first(suite: Path, tmp_path: Path) -> None:
    """Results of two checkpoints never stand in one file."""
    (tmp_path / "model.txt").write_text("2")
    call(suite, "--only", "tones", "--model", tmp_path / "model.txt")
    (tmp_path / "model.txt").write_text("3")
    call(suite, "--only", "folds", "--model", tmp_path / "model.txt")
    assert list(content(suite, "model.txt")["tasks"]) == ["folds"]


def test_a_hidden_layer_has_results_of_its_own(suite: Path) -> None:
    done = call(suite, "--head", "mlp", "--only", "tones,beeps")
    assert done.exit_code == 0, done.output
    assert "beeps                        left out" in done.output
    assert content(suite, name="toys.mlp")["tasks"]["tones"]["value"] > 0.9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--option", "scale"), "'scale' is not of the form key=value"),
        (("--suite", "open"), "one of --suite and --tasks"),
        (("--head", "mlp", "--only", "beeps"), "nothing was scored"),
    ],
)
def test_what_cannot_be_done_is_said(suite: Path, words: tuple[str, ...], message: str) -> None:
    failed = call(suite, *words)
    assert failed.exit_code in (1, 2)
    assert message in failed.output


def test_the_open_suite_is_found_where_it_is_built(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(suite.parent)
    command = [MODULE, "--suite", "open", "--only", "tones"]
    missing = CliRunner().invoke(probe.main, command)
    assert missing.exit_code == 2
    assert "`python -m evaluation.suites.open data/open-suite` builds it" in " ".join(missing.output.split())
    (suite.parent / "data/open-suite").mkdir(parents=True)
    suite.rename("data/open-suite/tasks")
    assert CliRunner().invoke(probe.main, command).exit_code == 0
    assert (suite.parent / "results" / MODULE / "default" / "open-suite.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobodys.module"], "No module named 'nobodys'"),
        (["hear_audioformer.msm_mae", "--model", "nobodys-model"], "nobodys-model"),
    ],
)
def test_a_module_or_model_that_is_not_there(suite: Path, words: list[str], message: str) -> None:
    failed = CliRunner().invoke(probe.main, [*words, "--tasks", str(suite)])
    assert failed.exit_code == 1
    assert message in failed.output
