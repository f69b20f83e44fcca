"""The released kit under our driver, on tasks of a few tones.

Its first half, which calls the model, runs in every test run. The whole of it, in an environment made from nothing,
needs PyPI and some minutes:

    pytest -m heareval
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import click.testing
import numpy as np
import pytest

from evaluation import heareval
from evaluation.kit import environment, results, runs
from evaluation.kit.runs import Run
from evaluation.tasks import write as hear_format
from evaluation.tasks.write import RATE, Clip, Event, TaskMetadata
from tests import hear_tools
from tests.conftest import small_encoder, write_model

MODULE = "hear_audioformer.msm_mae"
TVT, FOLDS = ("train", "valid", "test"), tuple(f"fold{number:02}" for number in range(3))
PITCHES = {"high": 1760.0, "low": 220.0}
SHORT = {"max_epochs": [2], "check_val_every_n_epoch": [1]}
EVENTS = {"evaluation_params": {"task_specific_param_grid": SHORT}}
TASKS = (
    TaskMetadata("scenes", "scene", "multiclass", "trainvaltest", TVT, 0.5, ("top1_acc",)),
    TaskMetadata("folds", "scene", "multiclass", "presplit_kfold", FOLDS, 0.5, ("top1_acc", "mAP")),
    TaskMetadata(
        "events", "event", "multilabel", "trainvaltest", TVT, 2.0, ("event_onset_200ms_fms", "segment_1s_er"), EVENTS
    ),
)


def sounds(task: TaskMetadata) -> list[Clip]:
    """A tone for each label, over the whole clip or from 0.5 s to 1.5 s, in a little noise."""
    generator = np.random.default_rng(0)
    made = []
    for split in task.splits:
        for number in range(6):
            label = ("high", "low")[number % 2]
            time = np.arange(round((task.sample_duration or 0) * RATE)) / RATE
            tone = 0.3 * np.sin(2 * np.pi * PITCHES[label] * time) + 0.01 * generator.normal(size=len(time))
            if task.embedding_type == "event":
                tone[(time < 0.5) | (time > 1.5)] *= 0.02
            labels = [Event(label, 500, 1500)] if task.embedding_type == "event" else [label]
            made.append(Clip(split, f"{split}{number}", (32767 * tone).astype(np.int16), labels, str(number)))
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for task in TASKS:
        hear_format.write(tmp_path / "tasks", task, sounds(task))
    write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "small.safetensors")
    return tmp_path


def call(folder: Path, *arguments: str) -> click.testing.Result:
    paths = [
        "--tasks",
        str(folder / "tasks"),
        "--model",
        str(folder / "small.safetensors"),
        "--out",
        str(folder / "out"),
    ]
    return click.testing.CliRunner().invoke(heareval.main, [MODULE, *paths, *arguments])


def test_embeddings(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored where our scores look for them; timestamps too."""
    if not hear_tools.installed(hear_tools.HEAREVAL):
        reason = f"{hear_tools.HEAREVAL} is not installed: run `python -m tests.hear_tools` once, with access to PyPI"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    monkeypatch.setenv("PYTHONPATH", str(hear_tools.folder(hear_tools.HEAREVAL)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    out, model = workspace / "out", workspace / "small.safetensors"
    run = Run(Path(sys.executable), MODULE, model, "small", workspace / "tasks", out, "faster", 1)
    task = "events-open1-full"
    with open(os.devnull) as no_lock:
        assert runs.embed(run, task, no_lock.fileno())
        assert runs.embed(run, task, no_lock.fileno()) is None
    stored = out / MODULE / "small" / "embeddings" / MODULE / task
    frames, width = json.loads((stored / "test.embedding-dimensions.json").read_text())
    assert frames == 6 * 2000 // 40
    assert (stored / "test.embeddings.npy").stat().st_size == 4 * frames * width


@pytest.mark.heareval
def test_everything(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing to a table, beside a torchaudio that does not load; the same scores from disk as from memory."""
    (workspace / "broken" / "torchaudio").mkdir(parents=True)
    (workspace / "broken" / "torchaudio" / "__init__.py").write_text("raise OSError('undefined symbol')")
    monkeypatch.setenv("PYTHONPATH", str(workspace / "broken"), prepend=os.pathsep)
    done = call(workspace, "--env", str(workspace / "env"), "--grid", "faster", "--grid-points", "2")
    assert done.exit_code == 0, done.output
    [folder] = (workspace / "out").glob(f"{MODULE}/small-*/faster-2")
    scores = {task.name: results.read(folder / task.folder) for task in TASKS}
    assert scores["folds"].metrics.keys() == {"top1_acc", "mAP"}
    assert scores["folds"].deviation is not None
    assert 0 <= scores["events"].metrics["event_onset_200ms_fms"] <= 1
    predicted = pickle.loads((folder / "events-open1-full" / "test.predictions.pkl").read_bytes())
    assert predicted["target_events"].keys() == {f"test{number}.wav" for number in range(6)}
    python = workspace / "env" / "bin" / "python"
    for task in ("folds-open1-full", "events-open1-full"):
        task_folder = folder / task
        before = (task_folder / results.SCORES).read_text()
        (task_folder / results.DONE).unlink()
        command = [python, "-m", "evaluation.kit.inside", "predictions", task_folder]
        options = ["--grid", "faster", "--grid-points", "2", "--in-memory", "False"]
        subprocess.run([*map(str, command), *options], env=environment.child_environment(), check=True)
        assert untimed((task_folder / results.SCORES).read_text()) == untimed(before)
    again = call(workspace, "--env", str(workspace / "env"), "--grid", "faster", "--grid-points", "2")
    assert again.output.count("embeddings kept, predictions kept") == len(TASKS)


def untimed(scores: str) -> object:
    """Scores without the minutes that they took."""
    return json.loads(scores, object_hook=lambda found: {k: v for k, v in found.items() if "time_in_min" not in k})
