"""heareval's driver: what is kept apart, kept, refused and told. The kit itself is a small program that acts like it;
the real one is run in test_heareval_kit.py."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from evaluation import heareval
from evaluation.kit import environment, results, runs
from evaluation.kit.environment import KitError

# Writes what the kit writes, where it writes it, and notes each call; "broken" tasks end as a killed process does.
ACTOR = """#!{python} -IS
import json, os, shutil, signal, sys
from pathlib import Path
def inode(number):
    try:
        return os.fstat(number).st_ino
    except OSError:
        return None
_, _, part, *rest = sys.argv[1:]
log = Path({folder!r})
if part == "embeddings":
    options = dict(zip(rest[1::2], rest[2::2]))
    task = Path(options["--tasks-dir"], options["--task"])
    here = Path(options["--embeddings-dir"], rest[0], task.name)
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    for file in task.iterdir():
        shutil.copy(file, here)
    Path(here, "test.embeddings.npy").write_bytes(bytes(8))
else:
    here = Path(rest[0])
    Path(here, "argv").write_text(" ".join(rest[1:]))
lock = Path(options["--embeddings-dir"]).parent / ".lock" if part == "embeddings" else here.parents[1] / ".lock"
assert any(inode(number) == lock.stat().st_ino for number in range(3, 64)), "the lock is not shared"
with open(log / "calls", "a") as calls:
    print(part, here.name, file=calls)
if (log / f"broken-{{part}}-{{here.name}}").exists():
    os.kill(os.getpid(), signal.SIGKILL)
if part == "embeddings":
    Path(here, ".done.embeddings").touch()
else:
    Path(here, "test.predicted-scores.json").write_text((log / "scores.json").read_text())
    Path(here, "prediction-done.json").write_text("{{}}")
"""
ESC50, OTHER = "esc50-v2.0.0-full", "mine-v1-full"
KFOLD = {"aggregated_scores": {"test_top1_acc_mean": 0.8125, "test_top1_acc_std": 0.025}}
MODULE = "somebodys.module"


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the acting kit, two tasks, and two checkpoints of one name."""
    program = tmp_path / "python"
    program.write_text(ACTOR.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setattr(environment, "ensure", lambda folder: program)
    (tmp_path / "scores.json").write_text(json.dumps(KFOLD))
    for task in (ESC50, OTHER):
        write_task(tmp_path / "tasks" / task)
    (tmp_path / "tasks" / "stray.txt").touch()
    for number in "12":
        (tmp_path / number).mkdir()
        (tmp_path / number / "last.pt").write_text(number)
    return tmp_path


def write_task(folder: Path) -> None:
    folder.mkdir(parents=True)
    metadata = {"task_name": folder.name.split("-")[0], "splits": ["fold00"], "evaluation": ["top1_acc"]}
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,a\n")
    (folder / "fold00.json").write_text("{}")


def call(folder: Path, *arguments: str) -> click.testing.Result:
    places = ["--tasks", str(folder / "tasks"), "--out", str(folder / "out")]
    return click.testing.CliRunner().invoke(heareval.main, [MODULE, *places, *arguments])


def calls(folder: Path) -> list[str]:
    """What was asked of the kit since the last question."""
    made = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    (folder / "calls").unlink(missing_ok=True)
    return made


def test_checkpoints_and_searches_stay_apart(actor: Path) -> None:
    """Two files of one name, two searches: four results, and embeddings made once a checkpoint."""
    for number in "12":
        for points in ("1", "2"):
            done = call(actor, "--model", str(actor / number / "last.pt"), "--grid-points", points)
            assert done.exit_code == 0, done.output
    assert len(list((actor / "out").glob(f"{MODULE}/last-*/default-*/{ESC50}/{results.DONE}"))) == 4
    assert sorted(calls(actor)) == sorted(
        2 * [f"embeddings {ESC50}", f"embeddings {OTHER}"] + 4 * [f"predictions {ESC50}", f"predictions {OTHER}"]
    )
    table = results.collect(actor / "out", "default-1")
    assert len(table[ESC50]) == len(table[OTHER]) == 2


def test_no_model_is_a_model(actor: Path) -> None:
    """A baseline without weights."""
    assert call(actor).exit_code == 0
    assert (actor / "out" / MODULE / "default" / "default-8" / ESC50 / results.SCORES).is_file()


def test_done_is_kept(actor: Path) -> None:
    call(actor)
    calls(actor)
    again = call(actor)
    assert calls(actor) == []
    assert "embeddings kept, predictions kept, top1_acc 81.2" in again.output


@pytest.mark.parametrize("part", ["embeddings", "predictions"])
def test_killed_task_starts_again_and_others_go_on(actor: Path, part: str) -> None:
    broken = actor / f"broken-{part}-{ESC50}"
    broken.touch()
    failed = call(actor)
    assert failed.exit_code == 1
    assert f"1 failed: {ESC50}" in failed.output
    assert "want of memory" in failed.output
    assert OTHER in (actor / "out" / "table-default-8.md").read_text()
    calls(actor)
    broken.unlink()
    stale = actor / "out" / MODULE / "default" / "default-8" / ESC50 / "stale"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.touch()
    assert call(actor).exit_code == 0
    expected = [f"predictions {ESC50}"]
    assert calls(actor) == (expected if part == "predictions" else [f"embeddings {ESC50}", *expected])
    assert not stale.exists()


@pytest.mark.parametrize(("pages", "in_memory"), [(1, "False"), (10**6, "True")])
def test_large_embeddings_stay_on_disk(
    actor: Path, monkeypatch: pytest.MonkeyPatch, pages: int, in_memory: str
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: pages if name == "SC_PHYS_PAGES" else 8)
    call(actor, "--grid", "faster", "--grid-points", "3")
    options = (actor / "out" / MODULE / "default" / "faster-3" / ESC50 / "argv").read_text()
    assert options == f"--grid faster --grid-points 3 --in-memory {in_memory}"


def test_changed_task_is_refused(actor: Path) -> None:
    """Embeddings of other clips would be scored without a word."""
    call(actor)
    (actor / "tasks" / ESC50 / "fold00.json").write_text('{"a.wav": ["a"]}')
    again = call(actor)
    assert again.exit_code == 1
    assert "has changed since" in again.output
    assert f"1 failed: {ESC50}" in again.output


def test_only(actor: Path) -> None:
    assert call(actor, "--only", f"esc50,{OTHER}").exit_code == 0
    assert len(calls(actor)) == 4
    unknown = call(actor, "--only", "esc51")
    assert unknown.exit_code == 1
    assert "no task esc51" in unknown.output
    assert f"it holds {ESC50}, {OTHER}" in unknown.output


def test_no_tasks(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="holds no HEAR tasks"):
        runs.task_folders(tmp_path)


def test_unknown_model(actor: Path) -> None:
    done = call(actor, "--model", "msm-mae-tiny")
    assert done.exit_code == 1
    assert "no file is called 'msm-mae-tiny'" in done.output


def test_missing_rate_is_explained(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Traceback\nAssertionError: /t/esc50/16000/fold00 is not a directory\n")
    assert "/t/esc50 has no audio at 16000 Hz, the model's rate: see --prepare" in runs._failure(log, 1)


def test_second_run_waits_for_the_childs_end(tmp_path: Path) -> None:
    """Also after the first one's parent was killed: its child still writes."""
    lock = tmp_path / "lock"
    with environment.locked(lock) as descriptor:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,))
    try:
        with pytest.raises(KitError, match="another run is still at work"), environment.locked(lock):
            pass
    finally:
        child.kill()
        child.wait()
    with environment.locked(lock):
        pass


def test_table_beside_published_figures(actor: Path) -> None:
    """HEAR's own task has figures, any other has none; the three files and the screen tell the same."""
    shown = call(actor).output
    out = actor / "out"
    markdown = (out / "table-default-8.md").read_text()
    assert markdown in shown
    rows = {line.split(" | ")[0].strip("| "): line for line in markdown.splitlines() if line.startswith("|")}
    assert "81.2 ± 2.5 | 94.8 (CP-JKU PaSST base) |" in rows[ESC50]
    assert rows[OTHER].endswith("81.2 ± 2.5 | - | - | - | - | - |")
    [head, esc, other] = list(csv.reader((out / "table-default-8.csv").open()))
    assert dict(zip(head, esc, strict=True))["published: CED-base"] == "96.65"
    assert dict(zip(head, other, strict=True))["published: CED-base"] == ""
    assert dict(zip(head, other, strict=True))[f"{MODULE} default"] == "81.25"
    tasks = json.loads((out / "table-default-8.json").read_text())["tasks"]
    assert tasks[ESC50]["published_percent"]["best"] == 94.75
    assert tasks[OTHER]["models"][f"{MODULE} default"]["scores"] == {"top1_acc": 0.8125}


def test_table_of_scores_that_are_not_numbers(tmp_path: Path) -> None:
    """d' may be infinite, and JSON has no such number."""
    metrics = {"mAP": 0.5, "d_prime": float("inf")}
    results.save(tmp_path, "s", {"fsd50k-v1.0-full": {"m": results.Score(metrics, None)}})
    text = (tmp_path / "table-s.json").read_text()
    stored = json.loads(text, parse_constant=pytest.fail)["tasks"]["fsd50k-v1.0-full"]
    assert stored["models"]["m"]["scores"] == {"mAP": 0.5, "d_prime": None}


def test_one_split_has_no_deviation(tmp_path: Path) -> None:
    (tmp_path / "task_metadata.json").write_text(json.dumps({"evaluation": ["pitch_acc", "chroma_acc"]}))
    scores = {"test": {"test_pitch_acc": 0.25, "test_chroma_acc": 0.5, "epoch": 3}}
    (tmp_path / results.SCORES).write_text(json.dumps(scores))
    assert results.read(tmp_path) == results.Score({"pitch_acc": 0.25, "chroma_acc": 0.5}, None)


def test_published_figures() -> None:
    """All of HEAR's tasks, each figure with a source, none above the best of its own leaderboard."""
    published = json.loads(results.PUBLISHED.read_text())
    assert len({task.replace("_fold1", "_fold0") for task in published["tasks"]}) == 19
    assert all(system["source"] in published["sources"] for system in published["systems"].values())
    assert all(source["url"].startswith("https://") for source in published["sources"].values())
    for task in published["tasks"].values():
        assert task["figures"].keys() <= published["systems"].keys()
        assert all(0 < figure < 100 for figure in task["figures"].values())
        hear = [figure for name, figure in task["figures"].items() if published["systems"][name]["source"] == "HEAR"]
        assert max(hear, default=0) <= task["best"]["score"] < 100
    assert results.figures("tfds_crema_d-1.0.0-full", "top1_acc", published)["wav2vec2"] == 65.62
    assert results.figures("tfds_crema_d-1.0.0-full", "mAP", published) == {}


def test_environment_starts_again_until_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    interrupt = ["--requirement"]

    def run(command: list[str], log: Path) -> None:
        steps.append(" ".join(command))
        if "venv" in command:
            Path(command[-1], "lib", "python3", "site-packages").mkdir(parents=True)
        if set(interrupt) & set(command):
            raise KeyboardInterrupt

    monkeypatch.setattr(environment, "_run", run)
    folder = tmp_path / "env"
    with pytest.raises(KeyboardInterrupt):
        environment.ensure(folder)
    (folder / "half").touch()
    interrupt.clear()
    steps.clear()
    assert environment.ensure(folder) == folder / "bin" / "python"
    assert "venv" in steps[0]
    assert not (folder / "half").exists()
    assert [step.split()[-1] for step in steps].count(f"heareval=={environment.HEAREVAL}") == 1
    assert all(repr(place) in (folder / "lib/python3/site-packages/caller.pth").read_text() for place in sys_sites())
    steps.clear()
    environment.ensure(folder)
    assert steps == []
    monkeypatch.setattr(environment, "SHARED", ("torch",))  # as if the caller had another set of versions now
    environment.ensure(folder)
    assert steps


def test_environment_without_torchaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version is not asked for: ``metadata.version`` raises where a package is missing."""
    asked: list[str] = []
    monkeypatch.setattr(environment.metadata, "version", lambda name: asked.append(name) or "1")
    assert environment._required_state()["shared"] == {"torch": "1", "numpy": "1"}
    assert asked == ["torch", "numpy"]


def sys_sites() -> list[str]:
    """Where this interpreter's own packages are, found another way."""
    return [place for place in sys.path if place == str(Path(pytest.__file__).parents[1])]


def test_environment_touches_no_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(KitError, match="not an environment that this command made"):
        environment.ensure(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


CURED = """
import os, sys
import pytorch_lightning.loops, tensorflow
from heareval import gpu_max_mem
loop = pytorch_lightning.loops.FitLoop()
loop.current_epoch = 7
assert loop.epoch_progress.current.completed == loop.current_epoch == 7
assert tensorflow.test.is_gpu_available(cuda_only=False)
assert gpu_max_mem.device_name() == "a GPU"
assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
assert sys.argv[1:] == ["TASK", "--grid", "faster"] and __name__ == "__main__"
print("cured")
"""


def test_cures(tmp_path: Path) -> None:
    """Against packages that have the faults, as on a machine with a GPU."""
    sources = {
        "torch/__init__.py": "from . import cuda",
        "torch/cuda.py": "is_available = lambda: True\nget_device_name = lambda index=None: 'a GPU'",
        "heareval/__init__.py": "",
        "heareval/gpu_max_mem.py": "device_name = lambda index=0: 'a GPU'.decode()",
        "heareval/predictions/runner.py": CURED,
        "pytorch_lightning/loops.py": (
            "from types import SimpleNamespace as Space\n"
            "class FitLoop:\n    epoch_progress = Space(current=Space(completed=0))"
        ),
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).parent.joinpath("__init__.py").touch()
        (tmp_path / name).write_text(source)
    path = os.pathsep.join([str(tmp_path), str(environment.REPOSITORY)])
    command = [sys.executable, "-m", "evaluation.kit.inside", "predictions", "TASK", "--grid", "faster"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "cured\n", done.stderr
