"""Exported models: one graph for any length and batch that gives the package's own embeddings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

from hear_audioformer import __version__, checkpoint, export, weights
from hear_audioformer.cli import main
from hear_audioformer.codec import Codec
from hear_audioformer.codec import Config as CodecConfig
from hear_audioformer.embedder import Embedder
from hear_audioformer.encoder import Encoder
from hear_audioformer.export import fusion as fusion_graph
from hear_audioformer.export import model_file, trace
from hear_audioformer.export.front import CodecTwin, KaldiTwin, LogMelTwin
from hear_audioformer.export.fusion import FusionGraph, ModulationTwin
from hear_audioformer.export.graph import Graph
from hear_audioformer.features import KaldiFilterBank, LogMel
from hear_audioformer.fusion import Composition, statistics
from hear_audioformer.fusion.statistics import Modulation
from hear_audioformer.msm_mae import Config, MsmMae
from tests.conftest import small_fusion, small_part, write_model
from tests.oracles import TORCH

ROOT = Path(__file__).parent.parent
SHORTEST = (1, 100, 399, 400, 561)
exports = pytest.mark.skipif(TORCH < trace.OLDEST, reason="older torch does not trace sizes by their bounds alone")


def clip(samples: int, batch: int = 2) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))


def lengths(encoder: Encoder) -> list[int]:
    """Clips of one sample, below, at and above a window, and of several."""
    window, hop = encoder.window, encoder.hop
    return [*SHORTEST, window - 1, window, window + 1, window + hop, window * 5 // 2]


def close(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and found.dtype == wanted.dtype and bool((found - wanted).abs().max() < 5e-5)


def tiny(tmp_path: Path) -> Path:
    """The weight file of an MSM-MAE of one block, which is traced fast."""
    torch.manual_seed(0)
    encoder = MsmMae(Config(width=16, depth=1, heads=2, frames=48, bands=16, pool="mean+std"))
    return write_model(encoder, "msm-mae", tmp_path / "tiny.safetensors")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_scenes_of_any_length(encoder: Encoder) -> None:
    for pool in ("mean+std", encoder.pools[-1]):
        embedder = Embedder(encoder, pool=pool)
        graph = Graph(embedder)
        for samples in lengths(encoder):
            assert close(graph(clip(samples)), embedder.scene(clip(samples))), (pool, samples)


def test_timestamps_of_any_length_and_hop(encoder: Encoder) -> None:
    for hop_ms in {None, min(encoder.geometry.hops())}:
        embedder = Embedder(encoder, hop_ms=hop_ms)
        graph = Graph(embedder, timestamps=True)
        for samples in lengths(encoder):
            frames, times = graph(clip(samples))
            wanted, wanted_times = embedder.timestamps(clip(samples))
            assert close(frames, wanted), (hop_ms, samples)
            assert torch.equal(times, wanted_times), (hop_ms, samples)


def test_short_clips_padded_to_a_window() -> None:
    torch.manual_seed(0)
    encoder = MsmMae(Config(width=16, depth=1, heads=2, frames=96, short="pad")).eval()
    embedder = Embedder(encoder, hop_ms=40)
    scene, frames = Graph(embedder), Graph(embedder, timestamps=True)
    for samples in lengths(encoder):
        assert close(scene(clip(samples)), embedder.scene(clip(samples))), samples
        assert close(frames(clip(samples))[0], embedder.timestamps(clip(samples))[0]), samples


def test_a_fusion_of_any_length() -> None:
    torch.manual_seed(0)
    for options in ({}, {"components": 4, "dims": 15}):
        model = small_fusion(**options).model()
        scenes, stamped = FusionGraph(model), FusionGraph(model, timestamps=True)
        for samples in (*SHORTEST, 5333, scenes.window - 1, scenes.window * 5 // 2):
            assert close(scenes(clip(samples)), model.scene(clip(samples))), samples
            frames, times = stamped(clip(samples))
            wanted, wanted_times = model.timestamps(clip(samples))
            assert close(frames, wanted), samples
            assert torch.equal(times, wanted_times), samples


def test_quantiles_of_long_clips_are_those_of_some_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (statistics, fusion_graph):
        monkeypatch.setattr(module, "RANKED", 70)
    front = Modulation()
    for samples in (160 * 69, 160 * 70, 160 * 150):
        assert (ModulationTwin(front)(clip(samples)) - front.scene(clip(samples))).abs().max() < 1e-4


@exports
def test_onnx_of_a_fusion(tmp_path: Path) -> None:
    """The file is compared with the package before it appears; the converter once left out a floor of 1e-9."""
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    fronts = tuple(part for part in small_fusion().config.parts if part.front)
    alone = Composition(type(small_fusion().config)(parts=(small_part("msm-mae", None, "mean"), *fronts)))
    path = write_model(alone, "fusion", tmp_path / "fused.safetensors")
    result = run("export", path, "-o", tmp_path / "fused.onnx")
    assert result.exit_code == 0, result.output
    [found] = trace.run_onnx(str(tmp_path / "fused.onnx"), torch.zeros(1, 9000))
    assert (found - alone.model().scene(torch.zeros(1, 9000))).abs().max() < 1e-4  # silence is nothing but floors


@pytest.mark.parametrize("rate", [16000, 32000])
def test_front_ends_without_fft(rate: int) -> None:
    for front, twin in ((LogMel(rate), LogMelTwin), (KaldiFilterBank(rate), KaldiTwin)):
        for samples in (1, 100, 16001):
            audio = clip(samples)
            frames = front.count(samples)
            assert twin(front).count(samples) == frames  # type: ignore[arg-type]
            assert (twin(front)(audio, 0, frames) - front(audio)).abs().max() < 1e-3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config",
    [
        CodecConfig(front="mel", codebooks=2),
        CodecConfig(front="mel-network", filters=8, dilations=(1, 2), codebooks=2),
        CodecConfig(filters=2, codebooks=2),
    ],
)
def test_codecs_latents(config: CodecConfig) -> None:
    """Latents, because random codebooks turn on rounding."""
    torch.manual_seed(0)
    codec = Codec(config).eval()
    if config.front == "mel":
        codec.encoder.directions.normal_()  # type: ignore[union-attr, operator]
    heard: list[Tensor] = []
    twin = CodecTwin(codec)
    twin.codec.quantizer.encode = lambda latents, count: heard.append(latents)  # type: ignore[assignment]
    for samples in (1, 319, 320, 321, 700, 5000):
        twin(clip(samples), 2)
        wanted = codec.latents(clip(samples))
        assert heard[-1].shape == wanted.shape
        assert (heard[-1] - wanted).abs().max() < 1e-4 * wanted.abs().max() + 1e-6


def test_what_is_not_exported_is_said() -> None:
    with pytest.raises(ValueError, match="LSTM"):
        CodecTwin(Codec(CodecConfig(lstm=1, filters=2)))
    with pytest.raises(ValueError, match="neighbours"):
        Graph(Embedder(MsmMae(Config(width=16, depth=1, heads=2, normalisation="batch"))))
    with pytest.raises(ValueError, match="fast"):
        Graph(Embedder(MsmMae(Config(width=16, depth=1, heads=2)), hop="fast"))


@exports
def test_pt2(tmp_path: Path) -> None:
    """Every method's small graph would do the same at many times the cost; ``write`` itself compares each."""
    model, out = tiny(tmp_path), tmp_path / "tiny.pt2"
    result = run("export", model, "-o", out)
    assert result.exit_code == 0, result.output
    files = {model_file.METADATA: ""}
    program = torch.export.load(out, extra_files=files).module()
    embedder = weights.open_model(model)
    for samples, batch in ((1, 1), (4800, 3), (16000, 1)):
        assert close(program(clip(samples, batch)), embedder.scene(clip(samples, batch)))
    assert json.loads(files[model_file.METADATA])["embedding_size"] == str(embedder.scene_embedding_size)


@exports
def test_onnx_of_frames(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, out = tiny(tmp_path), tmp_path / "tiny.onnx"
    result = run("export", model, "-o", out, "--timestamps", "--hop-ms", "40")
    assert result.exit_code == 0, result.output
    embedder = weights.open_model(model, hop_ms=40)
    for samples, batch in ((1, 1), (4800, 3), (7680, 1), (16000, 3)):
        frames, times = trace.run_onnx(str(out), clip(samples, batch))
        wanted, wanted_times = embedder.timestamps(clip(samples, batch))
        assert close(frames, wanted), samples
        assert torch.equal(times, wanted_times)
    stored = onnx.load(out)
    facts = {entry.key: entry.value for entry in stored.metadata_props}
    assert facts["sha256"] == checkpoint.sha256(model)
    assert (facts["version"], facts["hop_ms"], facts["sample_rate"]) == (__version__, "40", "16000")
    assert not {node.op_type for node in stored.graph.node} & {"STFT", "DFT", "Loop", "If"}
    assert [axis.dim_param for axis in stored.graph.input[0].type.tensor_type.shape.dim] == ["batch", "samples"]


@exports
def test_a_fixed_length(tmp_path: Path) -> None:
    model, out = tiny(tmp_path), tmp_path / "tiny.pt2"
    assert export.write(model, out, seconds=0.7)["samples"] == "11200"
    program = torch.export.load(out).module()
    assert close(program(clip(11200, 3)), weights.open_model(model).scene(clip(11200, 3)))
    with pytest.raises((RuntimeError, AssertionError)):
        program(clip(11201))


@exports
def test_the_example_needs_no_torch(tmp_path: Path) -> None:
    """A bundled model, by the script of the documentation, in a process where torch cannot be imported."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "model.onnx"
    export.write("asit-tiny", out)
    code = f"""
import runpy, sys
sys.modules["torch"] = sys.modules["hear_audioformer"] = None
sys.argv = ["example", {str(out)!r}, {str(ROOT / "docs" / "example.ogg")!r}]
runpy.run_path({str(ROOT / "docs" / "examples" / "onnx_without_torch.py")!r}, run_name="__main__")
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout
    assert "asit-tiny: scene, 3072 values, 16000 Hz" in shown
    assert "(1, 3072)" in shown


@exports
def test_a_file_that_disagrees_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = tiny(tmp_path), tmp_path / "tiny.pt2"
    monkeypatch.setattr(model_file, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="nothing was written"):
        export.write(model, out, seconds=0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.safetensors"]


def test_errors_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, there = tiny(tmp_path), tmp_path / "there.onnx"
    there.touch()
    monkeypatch.setattr(trace, "OLDEST", (2, 0))
    find = trace.importlib.util.find_spec
    monkeypatch.setattr(trace.importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
    cases = {
        ("-o", tmp_path / "x.tflite"): "must end in .onnx or .pt2",
        ("-o", there): "pass --overwrite",
        ("-o", tmp_path / "x.onnx"): "pip install 'hear_audioformer[export]'",
        ("-o", tmp_path / "x.pt2", "--seconds", "0"): "at least one sample",
        ("-o", tmp_path / "x.pt2", "--hop-ms", "40"): "--timestamps",
        ("-o", tmp_path / "x.pt2", "--timestamps", "--pool", "mean"): "--timestamps",
    }
    for arguments, message in cases.items():
        result = run("export", model, *arguments)
        assert result.exit_code == 2, arguments
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1
    monkeypatch.setattr(trace, "OLDEST", (99, 0))
    assert "torch 99.0 or later" in run("export", model, "-o", tmp_path / "x.pt2").output
