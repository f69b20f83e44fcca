"""The encoder as X-ARES finds, builds and checks it."""

from pathlib import Path

import pytest
import torch

from hear_audioformer import weights
from hear_audioformer.adapters import xares
from tests.test_weights import write_tiny


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> xares.HearAudioformerEncoder:
    """Built as X-ARES builds it, without arguments."""
    monkeypatch.setenv(xares.MODEL, str(write_tiny(tmp_path / "tiny.safetensors")))
    return xares.HearAudioformerEncoder()


def test_only_one_name_ends_as_x_ares_wants() -> None:
    assert [name for name in dir(xares) if name.endswith("Encoder")] == ["HearAudioformerEncoder"]


def test_facts_hold(encoder: xares.HearAudioformerEncoder) -> None:
    audio = torch.randn(2, 50000)
    frames = encoder(audio)
    assert torch.equal(frames, encoder.model.timestamps(audio)[0])
    assert frames.shape[2] == encoder.output_dim
    assert 1000 * 50000 / encoder.sampling_rate / frames.shape[1] == pytest.approx(encoder.hop_size_in_ms, rel=0.02)


def test_another_model_by_argument() -> None:
    expected = weights.load_model("msm-mae-tiny").timestamp_embedding_size
    assert xares.HearAudioformerEncoder("msm-mae-tiny").output_dim == expected


def test_x_ares_accepts_it(encoder: xares.HearAudioformerEncoder) -> None:
    checker = pytest.importorskip("xares.audio_encoder_checker")
    utils = pytest.importorskip("xares.utils")
    assert checker.check_audio_encoder(encoder)
    found = utils.attr_from_py_path("hear_audioformer/adapters/xares.py", endswith="Encoder")
    assert found is xares.HearAudioformerEncoder
