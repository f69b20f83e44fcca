"""oneDNN's linear layers: the same results within rounding, and only where they belong."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from hear_audioformer import onednn
from hear_audioformer.embedder import Embedder
from hear_audioformer.layers import Linear
from tests.conftest import SMALL, small_encoder

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="a torch without oneDNN")


@needs_onednn
@pytest.mark.parametrize("shape", [(5, 24), (2, 7, 24), (3, 2, 7, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_equals_torchs_linear(shape: tuple[int, ...], bias: bool) -> None:
    layer, x = Linear(24, 10, bias=bias), torch.randn(shape)
    for value in (x, x.transpose(0, -2) if len(shape) > 2 else x):
        with torch.no_grad(), onednn.chosen(True):
            assert onednn.serves(value, layer.weight)
            torch.testing.assert_close(layer(value), F.linear(value, layer.weight, layer.bias), atol=1e-6, rtol=1e-5)


@needs_onednn
@pytest.mark.parametrize("method", SMALL)
def test_embeddings_are_the_same_within_rounding(method: str) -> None:
    model, audio = Embedder(small_encoder(method)), torch.randn(2, 20000)
    with onednn.chosen(False):
        wanted = model.scene(audio)
    with onednn.chosen(True):
        found = model.scene(audio)
    torch.testing.assert_close(found, wanted, atol=1e-6 * float(wanted.abs().max().clamp(min=1)) * 5, rtol=1e-5)


def test_it_serves_float32_inference_alone() -> None:
    x, weight = torch.randn(2, 4), torch.randn(3, 4)
    with onednn.chosen(True):
        assert not onednn.serves(x, weight)  # with gradients
        with torch.no_grad():
            assert onednn.serves(x, weight)
            assert not onednn.serves(x.bfloat16(), weight.bfloat16())
            assert not onednn.serves(x.to("meta"), weight.to("meta"))
            assert not onednn.serves(x[:0], weight)
            with torch.autocast("cpu", torch.bfloat16):
                assert not onednn.serves(x, weight)
    with torch.no_grad(), onednn.chosen(False):
        assert not onednn.serves(x, weight)


@pytest.mark.parametrize(
    ("maker", "kernels", "wins"),
    [("AuthenticAMD", "AVX2", True), ("GenuineIntel", "AVX2", False), ("AuthenticAMD", "AVX512", False)],
)
def test_processors(maker: str, kernels: str, wins: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nvendor_id : {maker}\n")
    monkeypatch.setattr(onednn, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kernels)
    onednn.preferred.cache_clear()
    assert onednn.preferred() == (wins and torch.backends.mkldnn.is_available())
    monkeypatch.setattr(onednn, "CPUINFO", tmp_path / "none")
    onednn.preferred.cache_clear()
    assert not onednn.preferred()
    monkeypatch.undo()
    onednn.preferred.cache_clear()
