"""Files whose seal fits and whose content is absurd, and indices that lead astray: refused before anything is built."""

import os
import resource
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_audioformer
from hear_audioformer import checkpoint, weights
from hear_audioformer.checkpoint import WeightsError
from hear_audioformer.pickles import read_state_dict
from hear_audioformer.weights import METHODS, method_module
from tests.conftest import small_encoder, write_model
from tests.test_cli import run
from tests.test_convert import authors_state
from tests.test_weights import AUDIO, bundle, embedding, entry_of, path, write_index, write_tiny

__all__ = ["bundle", "path"]  # fixtures

ABSURD: list[tuple[str, dict[str, Any], str]] = [
    ("msm-mae", {"heads": 0}, "heads=0: must be above 0"),
    ("msm-mae", {"heads": -4}, "heads=-4 is not a whole number"),
    ("msm-mae", {"width": 10**9}, "width=1000000000 is not a whole number from 0 to"),
    ("msm-mae", {"width": 1 << 24}, "does not fit the model that its config describes"),
    ("msm-mae", {"width": "48"}, "width='48' is not a whole number"),
    ("msm-mae", {"depth": 10**7}, "depth=10000000: must be at most 1024"),
    ("msm-mae", {"depth": True}, "depth=True is not a whole number"),
    ("msm-mae", {"mlp_ratio": 1e30}, "makes no model"),
    ("msm-mae", {"mlp_ratio": -1}, "mlp_ratio=-1: must be above 0"),
    ("msm-mae", {"patch": [0, 16]}, r"patch=\[0, 16\]: must be above 0"),
    ("msm-mae", {"patch": [16]}, r"patch=\[16\] is not a list of 2"),
    ("msm-mae", {"patch": None}, "patch=None is not a list of 2"),
    ("msm-mae", {"frames": 16 << 19}, "makes no model .tables of"),
    ("msm-mae", {"sample_rate": 0}, "sample_rate=0: must be above 0"),
    ("mast", {"sample_rate": 16001}, "must be a multiple of 200 Hz"),
    ("msm-mae", {"layers": [9]}, "name layers 1 to 3"),
    ("msm-mae", {"layers": "3"}, "name layers 1 to 3"),
    ("msm-mae", {"pool": "loud"}, "pool='loud' is not one of"),
    ("asit", {"frames": 16 << 20 - 4}, "does not fit|makes no model"),
    ("asit", {"heads": 7}, "cannot be split into 7 heads"),
    ("asit", {"patch": 0}, "patch=0: must be above 0"),
    ("mast", {"depths": [1, 1, 10**6, 1]}, "must be at most 1024"),
    ("mast", {"depths": []}, "at least one stage"),
    ("mast", {"stem_stride": [8, 0]}, "stem_stride=.*: must be above 0"),
    ("mast", {"query_strides": [[1, 2], [2, 2], [2]]}, "query_strides=.* is not a list"),
    ("mast", {"overlap": "no"}, "overlap='no' is not True or False"),
    ("audioformer", {"trained": 10**6}, "trained=1000000: must be at most 1024"),
    ("audioformer", {"codec": {"codes": 0}}, "codes=0: must be above 0"),
    ("audioformer", {"codec": {"ratios": [0, 2]}}, "ratios=.*: must be above 0"),
    ("audioformer", {"codec": {"rotary": True}}, "makes no model .*rotary"),
    ("audioformer", {"codec": "nonesuch"}, "codec='nonesuch' is not one of"),
    ("audioformer", {"codec": 7}, "codec=7 is not"),
    ("audioformer", {"dropout": float("nan")}, "dropout=nan is not a finite number"),
]


def written(method: str, folder: Path, config: dict[str, Any], change: Callable[[dict], Any] | None = None) -> Path:
    """A small model's file with other settings or tensors, sealed anew."""
    file = write_model(small_encoder(method), method, folder / "m.safetensors")
    header, tensors = checkpoint.read(file)
    if change is not None:
        change(tensors)
    checkpoint.write(file, tensors, replace(header, config={**header.config, **config}))
    return file


@pytest.mark.parametrize(("method", "config", "message"), ABSURD)
def test_absurd_configs_make_no_model(tmp_path: Path, method: str, config: dict[str, Any], message: str) -> None:
    file = written(method, tmp_path, config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load_model(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "normalisation", [{"mean": float("nan"), "std": 1.0}, {"mean": 0.0, "std": -1.0}, {"std": "4"}]
)
def test_absurd_normalisation(tmp_path: Path, normalisation: dict[str, Any]) -> None:
    file = write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "m.safetensors")
    header, tensors = checkpoint.read(file)
    checkpoint.write(file, tensors, replace(header, normalisation=normalisation))
    with pytest.raises(WeightsError, match=r"config that makes no model .(mean|std)"):
        weights.load_model(file)


@pytest.mark.parametrize("field", ["method", "config", "normalisation", "provenance"])
def test_headers_of_wrong_types(path: Path, field: str) -> None:
    header, tensors = checkpoint.read(path)
    checkpoint.write(path, tensors, replace(header, **{field: [1]}))  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="damaged hear_audioformer header"):
        weights.load_model(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers(encoder_method: str, tmp_path: Path, value: float) -> None:
    names: list[str] = []

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        names.append(next(name for name in tensors if "codebook" not in name and "norm" in name.lower()))
        tensors[names[0]].flatten()[3] = value

    file = written(encoder_method, tmp_path, {}, spoil)
    with pytest.raises(WeightsError, match=r"holds NaN or infinite weights in .*; it is no trained model") as caught:
        weights.load_model(file)
    assert names[0] in str(caught.value)


def test_float64_beyond_float32_is_no_number(path: Path) -> None:
    write_tiny(path, changes={"norm.bias": torch.full((16,), 1e300, dtype=torch.float64)})
    with pytest.raises(WeightsError, match=r"infinite weights in norm\.bias"):
        weights.load_model(path)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_weights_of_another_kind(path: Path, dtype: torch.dtype) -> None:
    write_tiny(path, changes={"norm.bias": torch.ones(16, dtype=dtype)})
    with pytest.raises(WeightsError, match=r"1 of another kind: norm\.bias is torch\."):
        weights.load_model(path)


# Empty files.


@pytest.mark.parametrize("module", [hear_audioformer, *map(method_module, METHODS)])
def test_an_empty_file_is_the_default_in_hear_alone(module: Any, tmp_path: Path) -> None:
    empty = tmp_path / "zero.safetensors"
    empty.touch()
    with pytest.warns(UserWarning, match=r"zero\.safetensors is empty, HEAR's sign for no weights: the default"):
        model = module.load_model(str(empty))
    assert [*map(type, model.modules())] == [*map(type, module.load_model().modules())]


def test_an_empty_file_is_refused_elsewhere(tmp_path: Path) -> None:
    empty = tmp_path / "zero.safetensors"
    empty.touch()
    calls: list[Callable[[Any], Any]] = [
        *(weights.resolve, weights.load_encoder, weights.open_model, checkpoint.read),
        lambda source: hear_audioformer.embed(AUDIO[0], source, sample_rate=16000),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in calls:
            with pytest.raises(WeightsError, match=r"zero\.safetensors is (empty: pass a weight file|not a complete)"):
                call(empty)
    (tmp_path / "a.wav").touch()
    for command in (("embed", tmp_path / "a.wav", "-o", tmp_path / "y.npz", "--model", empty), ("info", empty)):
        result = run(*command)
        assert result.exit_code == 2
        assert "zero.safetensors is empty: pass a weight file" in result.stderr
    assert not (tmp_path / "y.npz").exists()


# The index.


@pytest.mark.parametrize("sha256", ["", "0" * 40, "sha256", None])
def test_entries_without_a_hash_are_refused(bundle: Path, sha256: Any) -> None:
    file = write_tiny(bundle / "mine.safetensors")
    write_index(bundle, mine=entry_of(file, sha256=sha256))
    with pytest.raises(WeightsError, match=r"'mine\.safetensors' needs a plain file name and a sha256"):
        weights.load_model("mine")


@pytest.mark.parametrize("file", ["../model.safetensors", "deep/m.safetensors", "{}", "..", "", "a\\b", ".hidden"])
def test_entries_that_lead_elsewhere_are_refused(bundle: Path, path: Path, file: str) -> None:
    write_index(bundle, mine=entry_of(path, file=file.format(path)))
    with pytest.raises(WeightsError, match="needs a plain file name and a sha256"):
        weights.load_model("mine")


def test_links_are_refused_but_for_installers_that_link_everything(bundle: Path, path: Path) -> None:
    (bundle / "mine.safetensors").symlink_to(path)
    write_index(bundle, mine=entry_of(bundle / "mine.safetensors"))
    with pytest.raises(WeightsError, match=r"mine\.safetensors is a link"):
        weights.load_model("mine")
    os.replace(bundle / "index.json", path.parent / "index.json")
    (bundle / "index.json").symlink_to(path.parent / "index.json")
    assert torch.equal(embedding("mine"), embedding(path))


def test_a_name_that_no_file_can_have() -> None:
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(WeightsError, match="no file and no model is called"):
            weights.load_model(name)


# Files of others.


@pytest.mark.parametrize("text", ["hello world\n", "epoch,loss\n1,2\n", "{}", "", "\0" * 99, "i am text", "]q."])
def test_converting_a_text_file(tmp_path: Path, text: str) -> None:
    source = tmp_path / "checkpoint.pth"
    source.write_text(text)
    with pytest.raises(WeightsError, match=r"checkpoint\.pth (is damaged|holds)"):
        read_state_dict(source)
    result = run("convert", "--method", "msm-mae", source, "-o", tmp_path / "x.safetensors")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "KeyError" not in result.output


def test_converting_weights_that_are_no_numbers(tmp_path: Path) -> None:
    source, state = tmp_path / "checkpoint.pth", authors_state()
    state["blocks.0.norm1.bias"] = torch.full_like(state["blocks.0.norm1.bias"], torch.nan)
    torch.save({"model": state}, source)
    result = run("convert", "--method", "msm-mae", source, "-o", tmp_path / "x.safetensors", "--heads", 4)
    assert result.exit_code == 2
    assert "checkpoint.pth holds NaN or infinite weights in blocks.0.attention_norm.bias" in result.stderr
    assert not (tmp_path / "x.safetensors").exists()
