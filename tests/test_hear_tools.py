"""The released HEAR tools, started as their users start them, accept our modules, and would not accept anything."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import hear_audioformer
from hear_audioformer import checkpoint
from hear_audioformer.msm_mae import METHOD, Config, MsmMae
from hear_audioformer.weights import METHODS
from tests import hear_tools
from tests.conftest import small_encoder, small_network
from tests.conftest import write_model as write_small
from tests.hear_tools import HEAREVAL, VALIDATORS

NEWEST = VALIDATORS[-1]
PACKAGE, MODULE, THROWAWAY = "hear_audioformer", "hear_audioformer.msm_mae", "throwaway"
PATCHES = ((16, 16), (16, 8), (16, 4), (80, 2))
RATE = 16000
SPLITS = ("train", "valid", "test")
SECONDS = {"scene": 1.0, "event": 3.0}
CLIPS = 4  # in each split
SERMON = "IMPORTANT: A common bug"  # hearvalidator 2021.0.6 warns everybody of it
SOURCE = "from functools import partial\nimport hear_audioformer\nfrom hear_audioformer import *\n"

# A module with one thing wrong -> what both validators say of it.
FAULTS = {
    "not a model": ("def load_model(path):\n    return object()", "Model must be either"),
    "half precision": (
        "def get_scene_embeddings(audio, model):\n    return model.scene(audio).half()",
        "torch.float16",
    ),
    "lost clips": ("def get_scene_embeddings(audio, model):\n    return model.scene(audio[:1])", "returned 1."),
    "uneven timestamps": (
        "def get_timestamp_embeddings(audio, model):\n"
        "    embeddings, times = model.timestamps(audio)\n"
        "    return embeddings, times + times.square() / 1000",
        "Timestamps should occur at regular intervals",
    ),
}
# A module that does something ugly, which validators -> the warnings that they give for it.
UGLY = {
    "coarse hop": (
        "load_model = partial(hear_audioformer.load_model, hop_ms=160)",
        VALIDATORS,
        ["We suggest a interval"],
    ),
    "cut edges": (
        "def get_timestamp_embeddings(audio, model):\n    return [part[:, 3:-3] for part in model.timestamps(audio)]",
        [NEWEST],
        ["Your timestamps begin at", "Your timestamps end at"],
    ),
}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    """Weight files of tiny random models, one for each patch, because patches decide hops and first timestamps."""
    files = tmp_path_factory.mktemp("weights")
    return {patch: write_model(files / "{}x{}.safetensors".format(*patch), patch) for patch in PATCHES}


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two tasks as hearpreprocess leaves it, because the real ones are gigabytes."""
    where = tmp_path_factory.mktemp("tasks")
    for kind in SECONDS:
        write_task(where / kind, kind)
    return where


@pytest.mark.parametrize(("module", "patch"), [(PACKAGE, PATCHES[0]), *((MODULE, patch) for patch in PATCHES)], ids=str)
def test_validators_accept(
    module: str, patch: tuple[int, int], weights: dict[tuple[int, int], Path], tmp_path: Path
) -> None:
    """As they come: nobody can pass an option through a validator, so precision and hop are the defaults."""
    for run in validate(module, weights[patch], tmp_path).values():
        assert_accepted(run)
        assert not complaints(run)


def test_validators_accept_a_model_of_codes(tmp_path: Path) -> None:
    file = write_small(small_encoder("audioformer"), "audioformer", tmp_path / "codes.safetensors")
    for run in validate("hear_audioformer.audioformer", file, tmp_path).values():
        assert_accepted(run)
        assert not complaints(run)


@pytest.mark.parametrize("module", [PACKAGE, *(f"{PACKAGE}.{module}" for module in METHODS.values())])
def test_validators_accept_the_bundled_model(module: str, tmp_path: Path) -> None:
    """Without ``--model``, as a user starts them who has installed the package and nothing else."""
    for run in validate(module, None, tmp_path).values():
        assert_accepted(run)
        assert not complaints(run)


@pytest.mark.parametrize("method", [method for method in METHODS if method != METHOD])
def test_validators_accept_the_other_methods(method: str, tmp_path: Path) -> None:
    """As a HEAR module by itself, with its defaults."""
    file = write_small(small_network(method), method, tmp_path / "small.safetensors")
    for run in validate(f"{PACKAGE}.{METHODS[method]}", file, tmp_path).values():
        assert_accepted(run)
        assert not complaints(run)


def test_validators_accept_bf16(weights: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    """On a CPU too: what bf16 leaves in the answer's type or timestamps would show only on a GPU otherwise."""
    write_module(tmp_path, 'load_model = partial(hear_audioformer.load_model, precision="bf16")')
    for run in validate(THROWAWAY, weights[PATCHES[0]], tmp_path).values():
        assert_accepted(run)
        assert not complaints(run)


@pytest.mark.parametrize("fault", FAULTS)
def test_validators_refuse(fault: str, weights: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    """Otherwise the acceptance above would mean nothing."""
    source, message = FAULTS[fault]
    write_module(tmp_path, source)
    for run in validate(THROWAWAY, weights[PATCHES[0]], tmp_path).values():
        assert run.returncode == 1
        assert "Looks good!" not in run.stdout
        assert "ModelError: " in run.stderr
        assert message in run.stderr


@pytest.mark.parametrize("ugly", UGLY)
def test_validators_warn(ugly: str, weights: dict[tuple[int, int], Path], tmp_path: Path) -> None:
    """Otherwise the silence above would mean nothing."""
    source, validators, beginnings = UGLY[ugly]
    write_module(tmp_path, source)
    for validator, run in validate(THROWAWAY, weights[PATCHES[0]], tmp_path).items():
        assert_accepted(run)
        found = complaints(run)
        expected = beginnings if validator in validators else []
        assert all(any(message.startswith(beginning) for message in found) for beginning in expected)
        assert bool(found) == bool(expected)


@pytest.mark.parametrize(
    ("module", "options"), [(MODULE, {}), (PACKAGE, {}), (PACKAGE, {"hop_ms": 20, "pool": "mean+std"})], ids=str
)
def test_heareval_stores_our_embeddings(
    module: str, options: dict[str, Any], weights: dict[tuple[int, int], Path], tasks: Path, tmp_path: Path
) -> None:
    """What heareval later trains on is what the model says of each clip, under the right name and time."""
    file = weights[PATCHES[0]]
    run = heareval(module, file, tasks, tmp_path, "--model-options", json.dumps(options))
    assert run.returncode == 0, run.stderr
    [stored] = (tmp_path / "embeddings").iterdir()
    assert stored.name.startswith(module)
    model = hear_audioformer.load_model(file, **options)
    for split in SPLITS:
        check_scene(stored / "scene", split, tasks, model)
        check_event(stored / "event", split, tasks, model)


def test_heareval_refuses(weights: dict[tuple[int, int], Path], tasks: Path, tmp_path: Path) -> None:
    """Otherwise its success above would mean nothing."""
    source, _ = FAULTS["not a model"]
    write_module(tmp_path, source)
    run = heareval(THROWAWAY, weights[PATCHES[0]], tasks, tmp_path)
    assert run.returncode == 1
    assert "TypeError: Unsupported model type" in run.stderr
    assert not list(tmp_path.rglob(".done.embeddings"))


def validate(module: str, weights: Path | None, here: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """Both validators, side by side to save time."""
    arguments = ["hearvalidator.validate", module, "-d", "cpu", *(["--model", str(weights)] if weights else [])]
    with ThreadPoolExecutor() as pool:
        runs = pool.map(lambda tool: start(tool, arguments, here), VALIDATORS)
        return dict(zip(VALIDATORS, runs, strict=True))


def heareval(module: str, weights: Path, tasks: Path, here: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """heareval's first half, the only one that calls a model; it leaves its files in ``here/embeddings``."""
    folders = ["--tasks-dir", str(tasks), "--embeddings-dir", str(here / "embeddings")]
    arguments = ["heareval.embeddings.runner", module, "--model", str(weights), *folders, *options]
    return start(HEAREVAL, arguments, here)


def start(tool: str, arguments: Sequence[str], here: Path) -> subprocess.CompletedProcess[str]:
    """A tool's own entry in a process of its own, on the CPU, because heareval takes a GPU unasked."""
    if not hear_tools.installed(tool):
        reason = f"{tool} is not installed: run `python -m tests.hear_tools` once, with access to PyPI"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    environment = {**hear_tools.environment(tool, here), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "always", "-m", *arguments]
    return subprocess.run(command, env=environment, cwd=here, capture_output=True, text=True, timeout=200)


def assert_accepted(run: subprocess.CompletedProcess[str]) -> None:
    """By all that a validator says: its exit status, and the line that it prints last."""
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("Looks good!\n")


def complaints(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Warnings from a validator or this package, without the one for everybody; what other packages say is theirs."""
    ours = (hear_tools.FOLDER, hear_tools.REPOSITORY / PACKAGE)
    warned = re.findall(r"^(.+?):\d+: \w*Warning: *(.*)", run.stderr, re.MULTILINE)
    known = [text for path, text in warned if any(Path(path).is_relative_to(place) for place in ours)]
    return [text for text in known if not text.startswith(SERMON)]


def write_model(path: Path, patch: tuple[int, int]) -> Path:
    """A weight file as training leaves it, of a model too small to cost time."""
    torch.manual_seed(0)
    encoder = MsmMae(Config(width=48, depth=2, heads=4, frames=96, patch=patch))
    config = asdict(encoder.config)
    normalisation = {name: config.pop(name) for name in ("mean", "std")}
    checkpoint.write(path, encoder.state_dict(), checkpoint.Header(METHOD, config, normalisation))
    return path


def write_module(here: Path, source: str) -> None:
    """This package's module with something changed, because a fault must be the only one to prove who notices it."""
    (here / f"{THROWAWAY}.py").write_text(SOURCE + source)


def write_task(where: Path, kind: str) -> None:
    """A task as hearpreprocess writes one: metadata, vocabulary, and clips and labels of each split."""
    where.mkdir()
    metadata = {
        "task_name": kind,
        "version": "v1",
        "embedding_type": kind,
        "prediction_type": "multiclass" if kind == "scene" else "multilabel",
        "split_mode": "trainvaltest",
        "splits": SPLITS,
        "sample_duration": SECONDS[kind],
        "evaluation": ["top1_acc"] if kind == "scene" else ["event_onset_200ms_fms"],
    }
    (where / "task_metadata.json").write_text(json.dumps(metadata))
    with open(where / "labelvocabulary.csv", "w", newline="") as file:
        csv.writer(file).writerows([("idx", "label"), (0, "high"), (1, "low")])
    for split in SPLITS:
        write_split(where, split, kind)


def write_split(where: Path, split: str, kind: str) -> None:
    """Clips of noise that differ, one of them silent, because silence is where a logarithm or a division fails."""
    labels: dict[str, list[Any]] = {}
    folder = where / str(RATE) / split
    folder.mkdir(parents=True)
    generator = np.random.default_rng(SPLITS.index(split))
    for number in range(CLIPS):
        noise = generator.normal(size=int(SECONDS[kind] * RATE)).cumsum()
        sound = 0.3 * number * noise / np.abs(noise).max()
        name, label = f"{split}{number}.wav", ("low", "high")[number % 2]
        soundfile.write(folder / name, sound, RATE, subtype="PCM_16")
        labels[name] = [label] if kind == "scene" else [{"label": label, "start": 500.0, "end": 1500.0}]
    (where / f"{split}.json").write_text(json.dumps(labels))


def clips(tasks: Path, kind: str, split: str) -> dict[str, Tensor]:
    """The clips of a split by file name, each (1, samples), read anew so that 16-bit rounding is in them."""
    files = sorted((tasks / kind / str(RATE) / split).iterdir())
    return {file.name: torch.from_numpy(soundfile.read(file, dtype="float32")[0])[None] for file in files}


def check_scene(stored: Path, split: str, tasks: Path, model: hear_audioformer.Embedder) -> None:
    """Each clip's vector is the model's own of this clip, and of no other."""
    audio = clips(tasks, "scene", split)
    expected = torch.cat([model.scene(clip) for clip in audio.values()])
    found = torch.stack([load_embedding(stored / split / name) for name in audio])
    assert found.shape == (CLIPS, model.scene_embedding_size)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.nn.functional.pdist(expected).min() > 0.1
    check_split(stored, split, found)


def check_event(stored: Path, split: str, tasks: Path, model: hear_audioformer.Embedder) -> None:
    """Each clip's frames and times are the model's own; the times are regular and cover the clip, but no more."""
    found = []
    for name, clip in clips(tasks, "event", split).items():
        frames, times = (part[0] for part in model.timestamps(clip))
        found.append(load_embedding(stored / split / name))
        stamps = torch.tensor(json.loads((stored / split / f"{name}.timestamps.json").read_text()))
        labels = json.loads((stored / split / f"{name}.target-labels.json").read_text())
        assert found[-1].shape == (len(stamps), model.timestamp_embedding_size)
        torch.testing.assert_close(found[-1], frames, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(stamps, times, rtol=0, atol=0)
        check_times(stamps.double(), float(model.hop_ms))
        assert [bool(label) for label in labels] == [500 <= time <= 1500 for time in stamps.tolist()]
    check_split(stored, split, torch.cat(found))


def check_times(times: Tensor, hop: float) -> None:
    """Regular, because variable hops are against the rules, and nowhere more than a hop from the clip's ends."""
    end = 1000 * SECONDS["event"]
    torch.testing.assert_close(times.diff(), torch.full_like(times[1:], hop), rtol=0, atol=1e-3)
    assert 0 <= times[0] < hop
    assert end - hop < times[-1] <= end


def check_split(stored: Path, split: str, rows: Tensor) -> None:
    """The one file that heareval trains on holds the same rows, in an order of its own."""
    assert (stored / ".done.embeddings").is_file()
    shape = json.loads((stored / f"{split}.embedding-dimensions.json").read_text())
    assert tuple(shape) == rows.shape
    merged = np.fromfile(stored / f"{split}.embeddings.npy", dtype=np.float32).reshape(shape)
    order, own = np.lexsort(merged.T), np.lexsort(rows.numpy().T)
    np.testing.assert_array_equal(merged[order], rows.numpy()[own])


def load_embedding(clip: Path) -> Tensor:
    """What heareval stored for a clip; it must be float32 already, since heareval casts only later and silently."""
    array = np.load(f"{clip}.embedding.npy")
    assert array.dtype == np.float32
    return torch.from_numpy(array)
