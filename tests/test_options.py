"""Options are taken or refused, never dropped; and what a run was made with is what it says it was."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import hear_audioformer
from hear_audioformer import weights
from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.weights import WeightsError
from tests.conftest import small_encoder, write_model
from tests.test_cli import run

SAMPLES = np.sin(np.arange(16000) / 9).astype(np.float32)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", SAMPLES, 16000)
    return tmp_path / "a.wav"


@pytest.fixture
def msm_mae_file(tmp_path: Path) -> Path:
    return write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "m.safetensors")


def test_a_loaded_model_is_in_evaluation_mode(model_file: Path) -> None:
    assert hear_audioformer.load_model(model_file).training is False


@pytest.mark.parametrize("layers", [[3, -1], (3, -1), np.array([3, -1]), range(1, 3), 2, np.int64(2)])
def test_layers_in_one_call(encoder_method: str, recording: Path, tmp_path: Path, layers: Any) -> None:
    model_file = write_model(small_encoder(encoder_method), encoder_method, tmp_path / "m.safetensors")
    wanted = hear_audioformer.load_model(model_file, layers=layers)
    assert wanted.layers == [n if n > 0 else wanted.encoder.depth for n in np.atleast_1d(list(np.atleast_1d(layers)))]
    assert torch.equal(
        hear_audioformer.embed(recording, model_file, layers=layers), hear_audioformer.embed(recording, wanted)
    )


@pytest.mark.parametrize("pair", [[-5.0, 2.0], (-5, 2), np.array([-5.0, 2.0]), torch.tensor([-5.0, 2.0])])
def test_normalisation_in_one_call(msm_mae_file: Path, recording: Path, pair: Any) -> None:
    model = hear_audioformer.load_model(msm_mae_file, normalisation=[-5.0, 2.0])
    wanted = hear_audioformer.embed(recording, model)
    assert torch.equal(hear_audioformer.embed(recording, msm_mae_file, normalisation=pair), wanted)


def test_options_of_a_loaded_model_are_refused(msm_mae_file: Path, recording: Path) -> None:
    model = hear_audioformer.load_model(msm_mae_file)
    for options in ({"pool": "mean"}, {"nonsense": 3}):
        with pytest.raises(TypeError, match=f"{next(iter(options))}: options of load_model, but this model is loaded"):
            hear_audioformer.embed(recording, model, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sample_rate=8000: a file says its own rate"):
        hear_audioformer.embed(recording, model, sample_rate=8000)
    with pytest.raises(TypeError, match="model is a Linear: pass a model of load_model"):
        hear_audioformer.embed(recording, nn.Linear(1, 1))
    with pytest.raises(TypeError, match=r"layers=\{1: 2\}: no option is a dict"):
        hear_audioformer.embed(recording, msm_mae_file, layers={1: 2})


def test_a_compiled_model_in_one_call(msm_mae_file: Path, recording: Path) -> None:
    model = hear_audioformer.load_model(msm_mae_file)
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(hear_audioformer.embed(recording, compiled), hear_audioformer.embed(recording, model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop_ms": "40"}, "hop_ms='40' is not a hop of this model; choose one of"),
        ({"hop_ms": float("nan")}, "hop_ms=nan is not a hop"),
        ({"hop_ms": True}, "hop_ms=True is not a hop"),
        ({"layers": "12"}, "layers='12': name layers 1 to"),
        ({"layers": [1.0]}, "name layers 1 to"),
        ({"layers": [True]}, "name layers 1 to"),
        ({"layers": 4.5}, "name layers 1 to"),
        ({"layers": 99}, "layers=99: name layers 1 to"),
        ({"batch_size": "4"}, "batch_size must be at least 1 and a whole number, got '4'"),
        ({"batch_size": 2.5}, "whole number, got 2.5"),
        ({"pool": ""}, "pool='' is not one of"),
        ({"pool": ["mean"]}, "is not one of"),
        ({"precision": None}, "precision=None is not one of"),
    ],
)
def test_options_of_a_wrong_type(encoder: Encoder, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedder(encoder, **options)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("mast", {"rows": "4"}, "rows='4' is not a whole number"),
        ("mast", {"rows": True}, "rows=True is not a whole number"),
        ("mast", {"overlap": "no"}, "overlap='no' is not True or False"),
        ("mast", {"positions": 3}, "positions=3 is not one of clamp, stretch"),
        ("asit", {"window": -16}, "window=-16 is not a whole number from 0 to .* or None"),
        ("asit", {"window": 0}, "window=0: must be above 0"),
        ("asit", {"column": None}, "column=None is not one of mean, concat"),
        ("msm-mae", {"normalisation": [float("nan"), 1.0]}, "mean=nan is not a finite number"),
        ("msm-mae", {"normalisation": [1.0, float("inf")]}, "std=inf is not a finite number"),
        ("msm-mae", {"normalisation": [1.0, 0]}, "std must be positive"),
        ("msm-mae", {"normalisation": [1.0]}, r"normalisation=\[1\.0\]: a pair"),
        ("msm-mae", {"normalisation": ["a", 1]}, "mean='a' is not a finite number"),
        ("msm-mae", {"short": 1}, "short=1 is not one of crop, pad"),
        ("audioformer", {"codebooks": "2"}, "codebooks='2' is not a whole number"),
        ("audioformer", {"average": 1.5}, r"average=1\.5 is not a whole number"),
        ("audioformer", {"combine": 1}, "combine=1 is not one of"),
    ],
)
def test_options_of_a_method_of_a_wrong_type(tmp_path: Path, method: str, options: dict, message: str) -> None:
    """The user's fault, not the file's."""
    path = write_model(small_encoder(method), method, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=message) as caught:
        hear_audioformer.load_model(path, **options)
    assert not isinstance(caught.value, WeightsError)


def test_a_run_remembers_what_auto_became(
    model_file: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, wanted in (((), "fp32"), (("--precision", "bf16"), "bf16")):
        out = tmp_path / f"{wanted}.npz"
        assert run("embed", recording, "-o", out, "--model", model_file, *options).exit_code == 0
        assert json.loads(str(np.load(out)["info"]))["precision"] == wanted
    model = hear_audioformer.load_model(model_file)
    assert model.used_precision == "fp32"
    monkeypatch.setattr(Embedder, "device", torch.device("cuda"))
    assert model.used_precision == "bf16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hop-ms", 20), "--hop-ms is the step between timestamps: pass --timestamps with it"),
        (("--timestamps", "--pool", "mean"), "leave it out with --timestamps"),
        (("--device", "meta"), "'meta' cannot be used here: it holds no values"),
        (("--device", "nonsense"), "'nonsense' cannot be used here"),
    ],
)
def test_options_of_the_command_line(model_file: Path, recording: Path, arguments: tuple, message: str) -> None:
    result = run("embed", recording, "-o", recording.with_suffix(".npz"), "--model", model_file, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")
    assert not recording.with_suffix(".npz").exists()


def test_no_bar_where_there_is_no_terminal(model_file: Path, recording: Path) -> None:
    out = recording.with_suffix(".npz")
    result = run("embed", recording, "-o", out, "--model", model_file)
    assert result.output == f"1 of 1 files -> {out}\n"


def test_docstrings_name_every_option() -> None:
    for method in weights.METHODS:
        module = weights.method_module(method)
        assert all(option in str(module.load_model.__doc__) for option in (*weights.EMBEDDER_OPTIONS, *module.OPTIONS))
    assert all(option in str(hear_audioformer.load_model.__doc__) for option in weights.EMBEDDER_OPTIONS)
