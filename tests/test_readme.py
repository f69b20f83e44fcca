"""The README's commands run, in its order, on small inputs that have the names the README gives them.

Each command of the README is in ``RUN`` or in ``LEFT``, word by word: a new one fails until it is entered. The help of
all of them is run by ``tests/test_docs.py``.
"""

import csv
import importlib
import re
import shlex
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from hear_audioformer import cli
from tests.evaluation import toy
from tests.oracles import TORCH
from tests.test_convert import authors_state
from tests.test_docs import code

README = Path(__file__).parent.parent / "README.md"
RATE = 16000
LABELS = ("low",) * 6 + ("high",) * 6


@dataclass(frozen=True)
class Run:
    """How a command is run: text that is replaced, words that are added, packages it needs, files it makes."""

    makes: tuple[str, ...] = ()
    replaced: dict[str, str] = field(default_factory=dict)
    added: str = ""
    needs: tuple[str, ...] = ()


EMBED = "hear-audioformer embed recordings/"
RUN = {
    f"{EMBED} -o vectors/": Run(("vectors",), needs=("pyarrow",)),
    f"{EMBED} list.csv s3://bucket/more -o vectors/ --append": Run(
        ("vectors",), {"s3://bucket/more": "more/"}, needs=("pyarrow",)
    ),
    f"{EMBED} -o frames.npz --timestamps --hop-ms 20": Run(("frames.npz",)),
    "hear-audioformer search vectors/ query.wav -k 10": Run(needs=("pyarrow",)),
    "hear-audioformer classify vectors/ --examples labelled/ -o labels.csv": Run(("labels.csv",), needs=("pyarrow",)),
    "hear-audioformer plot map vectors/ -o map.png": Run(("map.png",), needs=("pyarrow", "matplotlib")),
    "python -m evaluation.probe hear_audioformer.msm_mae --suite open": Run(
        ("results/hear_audioformer.msm_mae/msm-mae-tiny/open-suite.json",)
    ),
    "python -m evaluation.reports.results results": Run(("results/results.md", "results/results.png")),
    "hear-audioformer validate hear_audioformer.msm_mae": Run(),
    "hear-audioformer convert --method msm-mae 80x512p16x16_paper/checkpoint-100.pth -o paper.safetensors": Run(
        ("paper.safetensors",), {"80x512p16x16_paper": "80x96p16x16_paper"}, needs=("safe pickles",)
    ),
    f"{EMBED} -o vectors-paper/ --model paper.safetensors": Run(("vectors-paper",), needs=("pyarrow", "safe pickles")),
    "python -m training.finetune hear runs/own model=msm-mae-tiny data=clips.csv": Run(
        ("runs/own/model.safetensors", "runs/own/result.json"),
        {"msm-mae-tiny": "paper.safetensors"},
        added="loop.epochs=1 clips.seconds=1 precision=32-true",
        needs=("safe pickles",),
    ),
    "hear-audioformer publish paper.safetensors --repo OWNER/NAME --licence cc-by-4.0 --dry-run": Run(
        needs=("safe pickles",)
    ),
    "hear-audioformer export msm-mae-tiny -o model.onnx": Run(
        ("model.onnx",),
        {"msm-mae-tiny": "paper.safetensors"},
        needs=("onnx", "onnxscript", "onnxruntime", "safe pickles"),
    ),
    "python -m corpora.corpus data/open --set open": Run(("data/open/shards",), {"--set open": "--from recordings"}),
    "python -m corpora.pack data/open": Run(("data/open/pack.int16",)),
    "python -m training.pretrain msm-mae-open runs/tiny data.corpus=data/open": Run(
        ("runs/tiny",),
        added="'data.shares={other: 1}' loop.steps=2 loop.batch=2 loop.warmup=1 loop.compile=false precision=32-true",
    ),
    "python -m training.export runs/tiny my-tiny --pool mean+std --licence Apache-2.0 --hardware '2 CPU cores'": Run(
        ("exported/my-tiny.safetensors",), added="--out exported"
    ),
    "hear-audioformer list": Run(),
    "python -m evaluation.reports.models": Run(added="--rounds 0"),
    "python -m evaluation.reports.neighbours docs/example.ogg sounds -o docs/figures/readme.png": Run(
        ("near.png",),
        {"docs/example.ogg sounds": "query.wav recordings", "docs/figures/readme.png": "near.png"},
        needs=("matplotlib",),
    ),
    "python -m corpora.corpus data/own --from FOLDER": Run(("data/own/shards",), {"FOLDER": "more"}),
}
LEFT = {  # why it is not run here
    "python3 -m venv .venv": "needs PyPI; .ci/run and .ci/versions install as the README says",
    ".venv/bin/pip install .": "needs PyPI; tests/test_package.py installs a wheel without it",
    ".venv/bin/hear-audioformer embed docs/example.ogg -o vectors.npz": "tests/test_package.py runs it",
    "hear-audioformer demo vectors/": "serves until it is stopped; tests/demo/ starts it",
    "pip install -e '.[train,plot]'": "needs PyPI",
    "pip install '.[parquet,plot]'": "needs PyPI",
    "source .venv/bin/activate": "belongs to the shell",
    "python -m evaluation.suites.open data/open-suite": "downloads 1.3 GB; tests/evaluation/suites/ has small ones",
    "python -m evaluation.heareval hear_audioformer.msm_mae --tasks data/open-suite/tasks": (
        "installs HEAR's kit from PyPI; tests/evaluation/test_heareval.py runs it with a stand-in for the kit"
    ),
    ".venv/bin/pip install -e '.[test]'": "needs PyPI; .ci/run does it",
    ".venv/bin/python -m tests.hear_tools": "needs PyPI; .ci/run does it",
    ".venv/bin/pytest -n auto": "these tests",
}


def readme_commands() -> list[str]:
    """Its commands without comments, quoted alike: those of its blocks in their order, then those in its text."""
    starts = ("python", "pip", "source", "hear-audioformer ", ".venv/bin")
    lines = (re.split(r"\s#\s", line)[0].rstrip(" &") for line in code(README) if line.startswith(starts))
    parts = (part for line in lines for part in line.split(" && "))
    return [shlex.join(shlex.split(part)) for part in parts if "." in part or "hear-audioformer" in part]


def quoted(commands: dict[str, object]) -> set[str]:
    return {shlex.join(shlex.split(command)) for command in commands}


def test_every_command_is_known() -> None:
    """None is missing here, and none is here that the README no longer has."""
    found = set(readme_commands())
    assert found - quoted({**RUN, **LEFT}) == set()
    assert quoted({**RUN, **LEFT}) - found == set()


def noise(path: Path, seed: int, seconds: float = 1.2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    turn = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * (200 + 150 * seed) * np.arange(round(seconds * RATE)) / RATE)
    soundfile.write(path, 0.3 * tone + 0.05 * turn.standard_normal(len(tone)), RATE)


def write_inputs() -> None:
    """What the README's commands read, in the current folder."""
    for number in range(12):
        noise(Path(f"recordings/{number}.wav"), number)
        noise(Path(f"labelled/{LABELS[number]}/{number}.wav"), number + 20)
    noise(Path("more/12.wav"), 12)
    noise(Path("elsewhere/13.wav"), 13)
    noise(Path("query.wav"), 3)
    Path("list.csv").write_text("path\nelsewhere/13.wav\n")
    with open("clips.csv", "w", newline="") as file:
        splits = ("train", "valid", "test")
        rows = ((f"labelled/{LABELS[n]}/{n}.wav", LABELS[n], splits[n % 3]) for n in range(12))
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    checkpoint = Path("80x96p16x16_paper/checkpoint-100.pth")
    checkpoint.parent.mkdir()
    torch.save({"model": authors_state()}, checkpoint)
    toy.tones(Path("data/open-suite/tasks"))


def there(need: str) -> bool:
    return TORCH >= (2, 10) if need == "safe pickles" else find_spec(need) is not None


def call(command: str, run: Run) -> None:
    for old, new in run.replaced.items():
        assert old in command
        command = command.replace(old, new)
    words = shlex.split(f"{command} {run.added}")
    if words[0] == "hear-audioformer":
        main: click.Command = cli.main
        arguments = words[1:]
    else:
        assert words[1] == "-m"
        module = importlib.import_module(words[2])
        main = module.main
        arguments = words[3:]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, f"{shlex.join(words)}\n{result.output}\n{result.exception!r}"
    assert [path for path in run.makes if not Path(path).exists()] == [], command


def test_the_commands_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose optional packages are there; CI has them all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_inputs()
    known = {shlex.join(shlex.split(command)): run for command, run in RUN.items()}
    for command in readme_commands():
        run = known.get(command)
        if run is not None and all(map(there, run.needs)):
            call(command, run)
