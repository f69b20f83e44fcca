"""``.ci/versions``, without the environments that it makes: what it reads, how it goes on, what it prints."""

import json
import re
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "versions"


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = spec_from_loader("versions", SourceFileLoader("versions", str(SCRIPT)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "versions", module)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_first_command_is_what_runs(versions: ModuleType) -> None:
    command = versions.readme_command()
    assert command.split()[:9] == ["python3", "-m", "venv", ".venv", "&&", ".venv/bin/pip", "install", ".", "&&"]
    assert command.count(".venv/bin/pip install") == 1
    assert "hear-audioformer embed docs/example.ogg" in command


def test_floors_are_all_lower_limits_of_setup(versions: ModuleType) -> None:
    """Every dependency has one, so that `oldest` means the oldest."""
    setup = (ROOT / "setup.py").read_text()
    run_time = re.search(r"install_requires=\[(.*?)\]", setup, re.DOTALL)
    assert run_time is not None
    names = re.findall(r'^ *"([\w.-]+)', run_time[1], re.MULTILINE)
    floors = dict(floor.split("==") for floor in versions.floors())
    assert {"torch", "numpy", "soxr", "click", "pyarrow", "pytest", *names} <= floors.keys()
    assert floors["torch"] == "2.6"


def test_a_row_that_fails_stops_no_other(
    versions: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def prepare(row: Any, folder: Path, uv: str | None) -> Any:
        folder.mkdir()
        if row.oldest:
            raise versions.StepError("nothing fits")
        return versions.Environment(folder, [], uv), "embed"

    def run(self: Any, command: Any) -> str:
        if self.folder.name == "torch-2.12" and "pytest" in command:
            raise versions.StepError("FAILED tests/test_x.py::test_y\n= 1 failed, 2 passed in 3.00s =")
        return "3 passed, 1 skipped in 3.00s" if "pytest" in command else ""

    facts = {"python": "3.12.1", "torch": "2.12.1", "torchaudio": "-", "numpy": "2.4.6"}
    monkeypatch.setattr(versions, "prepare", prepare)
    monkeypatch.setattr(versions.Environment, "run", run)
    monkeypatch.setattr(versions.Environment, "facts", lambda self: facts)
    assert versions.main(["oldest", "torch-2.12", "no-torchaudio", "--json", "--folder", str(tmp_path)]) == 1
    output = capsys.readouterr()
    outcomes = json.loads(output.out)
    assert [outcome["embed"].split(",")[0] for outcome in outcomes] == ["not run", "ok", "ok"]
    assert [outcome["tests"] for outcome in outcomes] == [
        "not run",
        "failed: 1 failed, 2 passed in 3.00s",
        "ok: 3 passed, 1 skipped in 3.00s",
    ]
    assert "nothing fits" in output.err
    assert list(tmp_path.iterdir()) == []
    assert versions.main(["no-torchaudio", "--folder", str(tmp_path)]) == 0
    header, rule, row = capsys.readouterr().out.splitlines()
    assert header.count("|") == rule.count("|") == row.count("|") == 9


def test_a_torch_that_is_replaced_fails_the_row(
    versions: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torches = iter(["2.12.1", "2.15.0"])
    monkeypatch.setattr(versions, "prepare", lambda *_: (versions.Environment(tmp_path, [], None), "embed"))
    monkeypatch.setattr(versions.Environment, "run", lambda self, command: "1 passed in 1.00s")
    monkeypatch.setattr(
        versions.Environment,
        "facts",
        lambda self: {"python": "3.12.1", "torch": next(torches), "torchaudio": "-", "numpy": "2.4.6"},
    )
    assert versions.try_row("torch-2.12", tmp_path, None).embed == "failed: replaced the user's torch 2.12.1"


def test_unknown_rows_and_folders_in_use_are_refused(versions: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "oldest").mkdir()
    for arguments in (["no-such-row"], ["oldest", "--folder", str(tmp_path)]):
        with pytest.raises(SystemExit) as refusal:
            versions.main(arguments)
        assert refusal.value.code == 2


def test_every_row_has_its_weekly_job(versions: ModuleType) -> None:
    [rows] = re.findall(r"row: \[(.*)\]", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert rows.split(", ") == list(versions.ROWS)


def test_a_step_shows_its_progress_and_its_end(
    versions: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = versions.Environment(tmp_path, [], None)
    assert environment.run("echo quiet; echo '... [ 50%]'") == "quiet\n... [ 50%]\n"
    assert capsys.readouterr().err.splitlines()[1:] == ["    ... [ 50%]"]
    with pytest.raises(versions.StepError, match="1 failed") as error:
        environment.run("echo '= 1 failed in 2.00s ='; exit 1")
    assert versions.summary(str(error.value)) == "1 failed in 2.00s"
    assert "1 failed" in capsys.readouterr().err
