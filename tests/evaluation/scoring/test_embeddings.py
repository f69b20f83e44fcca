"""Embeddings for the scorer: each clip's own, kept until anything that they depend on changes."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from evaluation.scoring import embeddings
from evaluation.scoring.code_files import source_files
from evaluation.scoring.embeddings import Model
from evaluation.tasks import tasks
from evaluation.tasks.tasks import Task
from hear_audioformer import weights
from tests.conftest import small_encoder, write_model
from tests.evaluation import stand_in, toy

MODULE = stand_in.__name__


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return tasks.read(toy.tones(tmp_path / "tasks"))


@pytest.fixture
def ours(tmp_path: Path) -> Model:
    return Model("hear_audioformer.msm_mae", str(write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "small")))


def alone(task: Task, model: Model, call: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """Every clip by itself."""
    rows = []
    for item in task.items:
        samples, _ = soundfile.read(task.audio(item, model.sample_rate), dtype="float32")
        rows.append(call(torch.from_numpy(samples)[None])[0].numpy())
    return np.stack(rows)


def test_another_module_gets_batches_of_one_length(task: Task, tmp_path: Path) -> None:
    model = Model(MODULE)
    stand_in.calls.clear()
    result = embeddings.scenes(task, model, tmp_path)
    assert sorted(stand_in.calls) == [(9, 3200), (9, 3840), (9, 4480), (9, 5120)]
    own = alone(task, model, lambda audio: stand_in.get_scene_embeddings(audio, model.loaded))
    assert result == pytest.approx(own, abs=1e-5)


def test_clips_of_any_lengths_share_a_call_of_ours_and_nothing_else(
    task: Task, ours: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    scene = ours.module.get_scene_embeddings
    monkeypatch.setattr(ours.module, "get_scene_embeddings", lambda x, m: (sizes.append(len(x)), scene(x, m))[1])
    result = embeddings.scenes(task, ours, tmp_path)
    assert sizes == [36]
    assert result == pytest.approx(alone(task, ours, lambda audio: scene(audio, ours.loaded)), abs=1e-4)


def test_batches_are_no_larger_than_they_shall_be(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.calls.clear()
    embeddings.scenes(task, Model(MODULE), tmp_path, batch_size=4)
    assert max(rows for rows, _ in stand_in.calls) == 4
    stand_in.calls.clear()
    monkeypatch.setattr(embeddings, "SECONDS", 0.5)
    embeddings.scenes(task, Model(MODULE), tmp_path / "other")
    assert all(rows * samples <= 0.5 * 16000 + samples for rows, samples in stand_in.calls)


def test_timestamps_come_back_in_the_order_of_clips(tmp_path: Path) -> None:
    folder = toy.tones(tmp_path / "tasks")
    task, model = tasks.read(folder), Model(MODULE)
    for _ in "12":  # made, and read
        result = embeddings.timestamps(task, model, tmp_path)
        for index, item in enumerate(task.items):
            samples, _ = soundfile.read(task.audio(item, 16000), dtype="float32")
            frames, times = stand_in.get_timestamp_embeddings(torch.from_numpy(samples)[None], model.loaded)
            assert result.frames(index) == pytest.approx(frames[0].numpy(), abs=0.02)  # half precision
            assert result.times[index].tolist() == times[0].tolist()


def test_a_rate_without_files_is_resampled_to(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in.Energies, "__init__", _at_8_khz(stand_in.Energies.__init__))
    stand_in.calls.clear()
    embeddings.scenes(task, Model(MODULE), tmp_path)
    assert sorted({samples for _, samples in stand_in.calls}) == [1600, 1920, 2240, 2560]


def _at_8_khz(made: Callable[..., None]) -> Callable[..., None]:
    def make(model: stand_in.Energies, scale: float) -> None:
        made(model, scale)
        model.sample_rate = 8000

    return make


def test_what_is_kept_depends_on_code_weights_options_and_clips(task: Task, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("1")
    (tmp_path / "copy.txt").write_text("1")
    (tmp_path / "two.txt").write_text("2")
    models = [Model(MODULE), Model(MODULE, str(tmp_path / "one.txt")), Model(MODULE, str(tmp_path / "two.txt"))]
    models += [Model(MODULE, options={"scale": 2.0})]
    changed = Model(MODULE)
    changed.code = "another"
    other = tasks.read(toy.tones(tmp_path / "other", seed=1))
    files = [embeddings._cache_file(task, model, tmp_path, "scene") for model in [*models, changed]]
    files += [embeddings._cache_file(task, models[0], tmp_path, "timestamps")]
    files += [embeddings._cache_file(other, models[0], tmp_path, "scene")]
    assert len(set(files)) == len(files)
    copy = embeddings._cache_file(task, Model(MODULE, str(tmp_path / "copy.txt")), tmp_path, "scene")
    assert copy == files[1]


def edit(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Makes all files of a name read as if someone had added a line."""
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda file: read(file) + b"\n# edited\n" * (file.name == name))


@pytest.mark.parametrize("module", ["hear_audioformer", "hear_audioformer.{}", "training.untrained"])
@pytest.mark.parametrize(
    ("method", "file", "counts"),
    [
        ("mast", "block.py", True),
        ("mast", "positions.py", True),
        ("mast", "features.py", True),
        ("mast", "language.py", False),
        ("mast", "cli.py", False),
        ("msm-mae", "block.py", False),
        ("asit", "asit.py", True),
        ("audioformer", "quantiser.py", True),
        ("audioformer", "cli.py", False),
    ],
)
def test_what_is_kept_depends_on_the_files_that_a_model_is_made_of(
    module: str, method: str, file: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write_model(small_encoder(method), method, tmp_path / "small"))
    name = module.format(weights.METHODS[method])
    before = Model(name, path).identity
    assert Model(name, path).identity == before
    edit(monkeypatch, file)
    assert (Model(name, path).identity != before) is counts


@pytest.mark.parametrize(("file", "counts"), [("mast.py", True), ("distil.py", False)])
def test_an_untrained_network_depends_on_how_its_objective_draws_weights(
    file: str, counts: bool, tmp_path: Path
) -> None:
    path = str(write_model(small_encoder("mast"), "mast", tmp_path / "small"))
    model = Model("training.untrained", path)
    result = source_files(model.module, model.loaded)
    assert ("objectives" in {f.parent.name for f in result.values() if f.name == file}) is counts


def test_imports_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the top, in a function, relative, of a package's parts; and nothing is run or taken from other packages."""
    folder = tmp_path / "strangers" / "inner"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    (folder.parent / "top.py").write_text("import torch\ndef load_model():\n    from .inner import late\n")
    (folder / "late.py").write_text("from .. import cousin\nfrom ..other import thing\nraise ValueError('run')\n")
    (folder.parent / "cousin.py").write_text("import strangers.inner.deep as deep\n")
    (folder.parent / "other.py").write_text("thing = 1\n")
    (folder / "deep.py").write_text("from hear_audioformer.windows import Geometry\n")
    (folder / "idle.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    result = source_files(importlib.import_module("strangers.top"))
    inner = {name for name in result if name.startswith("strangers.inner")}
    assert inner == {"strangers.inner", "strangers.inner.late", "strangers.inner.deep"}
    assert {"strangers", "strangers.top", "strangers.cousin", "strangers.other"} <= set(result)
    assert {"hear_audioformer.windows", "hear_audioformer.audio"} <= set(result)  # imported, and what reads all clips
    assert not [name for name in result if name.startswith("torch")]


def test_code_beside_a_foreign_module_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lonely.py").write_text(Path(stand_in.__file__).read_text())
    (tmp_path / "helper.py").write_text("a = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = Model("lonely").code
    (tmp_path / "helper.py").write_text("a = 2")
    assert Model("lonely").code != before


@pytest.mark.parametrize("kind", ["scenes", "timestamps"])
def test_values_that_are_no_numbers_are_refused(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(stand_in.Energies, "forward", lambda self, x: torch.full((*x.shape[:2], 8), torch.nan))
    with pytest.raises(ValueError, match=r"tones: the module returned NaN.*hear-audioformer validate"):
        getattr(embeddings, kind)(task, Model(MODULE), tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*.np?"))


@pytest.mark.parametrize(
    ("source", "options", "name"),
    [
        ("", {}, "default"),
        ("runs/tiny.safetensors", {}, "tiny"),
        ("hf://me/models@main/tiny.safetensors", {"pool": "mean", "hop_ms": 20}, "tiny-hop_ms=20-pool=mean"),
        ("", {"layers": [6, -1]}, "default-layers=[6, -1]"),
    ],
)
def test_names_of_models(source: str, options: dict[str, object], name: str) -> None:
    model = Model(MODULE)
    model.source, model.options = source, options
    assert model.name == name
