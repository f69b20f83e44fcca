"""The upstream by s3prl's interface, and in its own Featurizer."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hear_audioformer import weights
from hear_audioformer.adapters.s3prl import UpstreamExpert, register
from tests.test_weights import write_tiny

WAVS = [torch.sin(torch.arange(length) / 9) for length in (16000, 7001, 400)]


@pytest.fixture
def upstream(tmp_path: Path) -> UpstreamExpert:
    return UpstreamExpert(str(write_tiny(tmp_path / "tiny.safetensors")), refresh=False)


def test_states_of_all_layers(upstream: UpstreamExpert) -> None:
    states = upstream(WAVS)["hidden_states"]
    assert len(states) == upstream.model.encoder.depth
    rate = upstream.get_downsample_rates("hidden_states")
    assert all(state.shape == (3, 25, upstream.widths[0]) for state in states)
    assert rate == 640
    frames, _ = upstream.model.timestamps(WAVS[0][None])
    torch.testing.assert_close(torch.cat(states, dim=-1)[0], frames[0, :25])


def test_a_clip_does_not_depend_on_its_neighbours(upstream: UpstreamExpert) -> None:
    together = upstream(WAVS)["hidden_states"][-1]
    [alone] = upstream(WAVS[1:2])["hidden_states"][-1]
    torch.testing.assert_close(together[1, : len(alone)], alone)
    assert not together[1, len(alone) :].any()


def test_layers_of_different_widths_are_one_state() -> None:
    upstream = UpstreamExpert("mast-tiny")
    [state] = upstream(WAVS[:1])["hidden_states"]
    assert state.shape[2] == weights.load_model("mast-tiny").timestamp_embedding_size


def test_featurizer(upstream: UpstreamExpert) -> None:
    interfaces = pytest.importorskip("s3prl.upstream.interfaces")
    featurizer = interfaces.Featurizer(upstream, upstream_device="cpu")
    assert featurizer.output_dim == upstream.widths[0]
    lengths = [len(features) for features in featurizer(WAVS, upstream(WAVS))]
    assert lengths == [round(len(wav) / 640) for wav in WAVS]


def test_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a stand-in: s3prl.hub imports all upstreams, some of which need a torchaudio that is long gone."""
    hub = ModuleType("s3prl.hub")
    monkeypatch.setitem(sys.modules, "s3prl", ModuleType("s3prl"))
    monkeypatch.setitem(sys.modules, "s3prl.hub", hub)
    register("mine")
    assert vars(hub)["mine"] is UpstreamExpert
