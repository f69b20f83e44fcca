"""The command line as a user meets it: results, messages, exit codes, interrupted runs."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from pyarrow import parquet

import hear_audioformer
from hear_audioformer import audio, checkpoint
from hear_audioformer.cli import main
from hear_audioformer.facts import facts
from hear_audioformer.index import METHODS
from hear_audioformer.index import index as model_index
from hear_audioformer.weights import EMBEDDER_OPTIONS, method_module
from tests.oracles import needs_pickles
from tests.test_convert import authors_state

OLD_CLICK = "mix_stderr" in inspect.signature(CliRunner).parameters  # before 8.2; later ones never mix
RATES = {"a.wav": 16000, "b.flac": 44100, "deep/c.ogg": 22050}


def run(*arguments: object) -> Result:
    apart: dict[str, Any] = {"mix_stderr": False} if OLD_CLICK else {}
    if arguments[0] == "embed":
        arguments += ("--workers", 0)  # tests/bulk has those with processes
    return CliRunner(**apart).invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Three readable files of several formats, rates and channel counts, and two that are not."""
    folder = tmp_path / "recordings"
    generator = np.random.default_rng(0)
    for index, (name, rate) in enumerate(RATES.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, 0.1 * generator.standard_normal((rate * (index + 1), index + 1)), rate)
    (folder / "broken.wav").write_text("no audio")
    (folder / "empty.flac").touch()
    return folder


def wanted(model_file: Path, recordings: Path, **options: Any) -> list[Any]:
    """What the library itself says of the three files."""
    model = hear_audioformer.load_model(str(model_file), **options)
    return [audio.read(recordings / name, model.sample_rate)[None] for name in RATES], model


def test_scenes_to_npz(model_file: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    result = run("embed", recordings, recordings / "a.wav", "-o", out, "--model", model_file)
    assert result.exit_code == 1
    assert "3 of 5 files" in result.stdout
    assert "broken.wav: " in result.stderr
    assert "empty.flac: " in result.stderr
    clips, model = wanted(model_file, recordings)
    with np.load(out) as found:
        assert found["paths"].tolist() == [str(recordings / name) for name in RATES]
        assert found["embeddings"].dtype == np.float32
        for row, clip in zip(found["embeddings"], clips, strict=True):
            assert np.abs(row - model.scene(clip)[0].numpy()).max() < 1e-5
    assert [path.name for path in tmp_path.glob("out.npz.*")] == ["out.npz.errors.csv"]


def test_timestamps_to_npz_and_parquet(model_file: Path, recordings: Path, tmp_path: Path) -> None:
    files = [recordings / name for name in RATES]
    options = ("--model", model_file, "--timestamps", "--hop-ms", 20)  # which every method has
    for suffix in ("npz", "parquet"):
        assert run("embed", *files, "-o", tmp_path / f"out.{suffix}", *options).exit_code == 0
    clips, model = wanted(model_file, recordings, hop_ms=20)
    table = parquet.read_table(tmp_path / "out.parquet")
    with np.load(tmp_path / "out.npz") as found:
        for index, clip in enumerate(clips):
            frames, times = model.timestamps(clip)
            rows = slice(*found["offsets"][index : index + 2])
            assert np.array_equal(found["timestamps"][rows], times[0].numpy())
            assert np.abs(found["embeddings"][rows] - frames[0].numpy()).max() < 1e-5
            assert set(table["path"][rows].to_pylist()) == {str(files[index])}
        assert np.array_equal(np.stack(table["embedding"].to_numpy()), found["embeddings"])
        assert np.array_equal((1000 * table["offset"].to_numpy()).astype(np.float32), found["timestamps"])


def test_scenes_to_parquet(method: str, model_file: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    pooled = {} if method == "fusion" else {"pool": "mean+std"}  # a fusion's parts pool in ways of their own
    options = [text for name, value in pooled.items() for text in (f"--{name}", value)]
    assert run("embed", recordings, "-o", out, "--model", model_file, *options).exit_code == 1
    _, model = wanted(model_file, recordings, **pooled)
    table = parquet.read_table(out)
    assert table["path"].to_pylist() == [str(recordings / name) for name in RATES]
    assert len(table["embedding"][0]) == model.scene_embedding_size


def test_results_are_not_overwritten_unasked(model_file: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    out.write_text("precious")
    command = ("embed", recordings / "a.wav", "-o", out, "--model", model_file)
    refused = run(*command)
    assert refused.exit_code == 2
    assert "pass --overwrite" in refused.stderr
    assert out.read_text() == "precious"
    assert run(*command, "--overwrite").exit_code == 0
    assert np.load(out)["embeddings"].shape[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "x.csv"), "name a folder, such as x/"),
        (("-o", "x.npz", "--timestamps", "--hop-ms", "33"), "choose one of"),
        (("-o", "x.npz", "--model", "nonsense"), "no file and no model is called 'nonsense'"),
        (("-o", "x.npz", "--device", "tpu7"), "tpu7"),
        ((), "Missing option '-o'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    model_file: Path, recordings: Path, arguments: tuple[str, ...], message: str
) -> None:
    model = () if "--model" in arguments else ("--model", model_file)
    result = run("embed", recordings / "a.wav", *model, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_nothing_to_do_is_an_error(model_file: Path, tmp_path: Path) -> None:
    result = run("embed", tmp_path / "nowhere", "-o", tmp_path / "x.npz", "--model", model_file)
    assert result.exit_code == 2
    assert "nowhere: " in result.stderr
    assert not list(tmp_path.glob("x.npz.part"))
    (tmp_path / "bare").mkdir()
    result = run("embed", tmp_path / "bare", "-o", tmp_path / "y.npz", "--model", model_file)
    assert result.exit_code == 2
    assert "no audio files in" in result.stderr


def test_info(method: str, model_file: Path) -> None:
    facts = json.loads(run("info", model_file).stdout)
    assert facts["method"] == method
    assert facts["licence"] == "CC0-1.0"
    assert facts["hop_ms"] == (20 if method == "audioformer" else 40)
    assert facts["sha256"] == checkpoint.sha256(model_file)
    assert facts["latency_ms"] > 0  # a fusion's as well


def test_list() -> None:
    names = hear_audioformer.list_models()
    result = run("list")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert all(
        word in result.stdout.splitlines()[0]
        for word in ("MB", "parameters", "rate", "scene", "frame", "hop", "clips/s")
    )
    assert "0.5 M" in lines["melrvq-16k"]  # its tables are buffers
    for name, entry in model_index().models.items():
        wanted = facts(name)
        about = dict(entry.about or {})
        speed = about.pop("clips_a_second", None)  # measured by evaluation.reports.models --write
        assert about == wanted  # what a new weight file tells, its entry tells
        assert speed is None or f"{speed:.1f}" in lines[name].split()
        shown = [str(wanted[key]) for key in ("sample_rate", "scene", "frame", "hop_ms") if key in wanted]
        assert set(shown) <= {*lines[name].split(), *(f"{cell}.0" for cell in lines[name].split())}
    parts = result.stdout.partition("Parts of models, which embed nothing")[2]
    assert {name for name in model_index().models if name in parts} == set(model_index().models) - set(names)


def test_help_of_load_model_names_every_option() -> None:
    text = str(hear_audioformer.load_model.__doc__)
    options = [*EMBEDDER_OPTIONS, *(option for method in METHODS for option in method_module(method).OPTIONS)]
    assert [option for option in options if f"``{option}``" not in text] == []


@needs_pickles
def test_convert_then_embed(recordings: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "80x96p16x16_x" / "checkpoint.pth", tmp_path / "out.safetensors"
    source.parent.mkdir()
    torch.save({"model": authors_state()}, source)
    command = ("convert", "--method", "msm-mae", source, "-o", out, "--heads", 4, "--normalisation", -7, 4)
    result = run(*command)
    assert result.exit_code == 0
    assert [line.split()[2] for line in result.stdout.splitlines() if line.startswith("sha256")] == [
        str(source),
        str(out),
    ]
    assert run("embed", recordings / "a.wav", "-o", tmp_path / "x.npz", "--model", out).exit_code == 0
    assert run(*command).exit_code == 2
    assert "--overwrite" in run(*command).stderr
    assert "not of the form 80x512" in run(*command, "--overwrite", "--input", "80").stderr
    assert "says input 80x512" in run(*command, "--overwrite", "--input", "80x512").stderr


def test_validate(model_file: Path) -> None:
    result = run("validate", "hear_audioformer", "--model", model_file)
    assert result.exit_code == 0
    assert "error" not in result.stdout
    assert "warning" not in result.stdout
    missing = run("validate", "no_such_module")
    assert missing.exit_code == 1
    assert "No module named" in missing.stdout


def test_help_teaches() -> None:
    text = run("--help").stdout
    assert all(command in text for command in ("embed", "list", "info", "convert", "validate", "Exit codes"))
    for command in ("embed", "list", "info", "convert", "validate"):
        assert run(command, "--help").exit_code == 0


def test_embed_in_one_call(model_file: Path, recordings: Path) -> None:
    path = recordings / "b.flac"
    vector = hear_audioformer.embed(path, str(model_file))
    model = hear_audioformer.load_model(str(model_file))
    samples, rate = soundfile.read(path, dtype="float32")
    assert vector.shape == (model.scene_embedding_size,)
    assert torch.equal(hear_audioformer.embed(path, model), vector)
    assert (hear_audioformer.embed(samples.mean(1), model, sample_rate=rate) - vector).abs().max() < 1e-5
    with pytest.raises(ValueError, match="pass sample_rate"):
        hear_audioformer.embed(samples.mean(1), model)
