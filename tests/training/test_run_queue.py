"""A queue of recipes: rows in turn, within the time, going on where it stopped, each a weight file in the end."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from hear_audioformer import checkpoint
from tests.training.data.test_crops import CLIPS, small_pack
from tests.training.test_pretrain import TINY
from training import run_queue
from training.run_queue import AGAIN, Clock

WSD = [*TINY, "loop.schedule=wsd", "loop.steps=1000000"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands run in this process, and are listed."""
    from training import export, pretrain

    ran: list[list[str]] = []

    def run(command: list[str], check: bool) -> None:
        module, *arguments = command[2:]
        ran.append([module, *arguments])
        main = {"training.pretrain": pretrain.main, "training.export": export.main}[module]
        main(arguments, standalone_mode=False)

    monkeypatch.setattr(run_queue.subprocess, "run", run)
    monkeypatch.setattr(run_queue, "START", 0.0)
    return ran


def queue(folder: Path, **rows: dict[str, Any]) -> Path:
    path = folder / "queue.yaml"
    path.write_text(yaml.safe_dump({"rows": rows}))
    return path


def go(path: Path, minutes: float, *more: object) -> Result:
    corpus = path.parent / "corpus"
    if not corpus.exists():
        small_pack(corpus, CLIPS)
    arguments = [path, path.parent / "out", "--minutes", minutes, "--corpus", corpus, *more]
    return CliRunner().invoke(run_queue.main, list(map(str, arguments)))


def test_rows_are_trained_and_exported_in_turn(tmp_path: Path, in_this_process: list[list[str]]) -> None:
    short = {"recipe": "msm-mae-open", "changes": TINY, "pool": "mean"}
    long = {"recipe": "msm-mae-open", "changes": WSD, "minutes": 0.005, "cooldown": 0.5}
    path = queue(tmp_path, short=short, long=long)
    result = go(path, 1)
    assert result.exit_code == 0, result.output
    steps = [
        checkpoint.read_header(tmp_path / "out" / "weights" / f"{name}.safetensors").provenance["steps"]
        for name in ("short", "long")
    ]
    assert steps[0] == 3
    spent = json.loads((tmp_path / "out" / "long" / "spent.json").read_text())
    assert steps[1] == spent["step"] + max(1, round(0.5 * spent["step"]))
    done = len(in_this_process)
    assert go(path, 1).exit_code == 0
    assert len(in_this_process) == done


def test_a_call_ends_with_its_time_and_the_next_goes_on(tmp_path: Path) -> None:
    path = queue(tmp_path, long={"recipe": "msm-mae-open", "changes": WSD, "minutes": 0.02, "cooldown": 0.1})
    calls = 0
    while (result := go(path, 0.008)).exit_code == AGAIN:
        assert "the time is over: long " in result.output
        calls += 1
        assert calls < 20
    assert result.exit_code == 0, result.output
    assert calls >= 1  # a slow machine spends all of the time on the first
    assert json.loads((tmp_path / "out" / "long" / "spent.json").read_text())["minutes"] >= 0.02


def test_what_is_wrong_is_said_before_the_first_step(tmp_path: Path, in_this_process: list[list[str]]) -> None:
    for row, message in (
        ({"recipe": "asit-open", "minutes": 1.0}, "minutes need loop.schedule=wsd"),
        ({"recipe": "msm-mae-open", "changes": ["loop.stepz=3"]}, "stepz"),
        ({"recipe": "msm-mae-open", "minutes": -1.0}, "minutes=-1"),
        ({"recipe": "mast-open"}, "needs --labelled"),
    ):
        result = go(queue(tmp_path, row=row), 1)
        assert result.exit_code == 2
        assert message in result.output
    assert in_this_process == []


def test_a_failure_names_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], check: bool) -> None:
        raise run_queue.subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(run_queue.subprocess, "run", fails)
    result = go(queue(tmp_path, row={"recipe": "msm-mae-open", "changes": TINY}), 1)
    assert result.exit_code == 1
    assert "stopped by `python -m training.pretrain msm-mae-open" in result.output


def test_the_queue_for_a_gpu_can_be_read() -> None:
    rows = run_queue.read(Path(run_queue.__file__).parent / "queues" / "gpu.yaml").rows
    recipes = {"msm-mae-long", "msm-mae-labels", "asit-open", "audioformer-neural", "mast-open"}
    assert {row.recipe for row in rows.values()} == recipes


def test_a_process_has_time_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_queue, "START", 0.5)
    assert Clock(9).left == pytest.approx(8.5, abs=0.01)
    with pytest.raises(run_queue.OverError):
        Clock(0.4).spend(["training.pretrain"])


def test_a_rehearsal_runs_each_row_for_a_few_steps(tmp_path: Path, in_this_process: list[list[str]]) -> None:
    """The second row goes on from the model of the first, by its name."""
    first = {"recipe": "msm-mae-open", "changes": WSD, "minutes": 600}
    second = {"recipe": "msm-mae-open", "changes": [*TINY, "init=first"]}
    result = go(queue(tmp_path, first=first, second=second), 5, "--rehearse", 4)
    assert result.exit_code == 0, result.output
    made = tmp_path / "out" / "weights"
    for name in ("first", "second"):
        assert checkpoint.read_header(made / f"{name}.safetensors").provenance["steps"] == 4
    trained = [command for command in in_this_process if command[0] == "training.pretrain"]
    assert f"init={made / 'first.safetensors'}" in trained[1]
    assert "loop.cooldown=1" in trained[0]
    assert not any(change.startswith("loop.cooldown") for change in trained[1])
