"""Where the time goes: parts add up, and watching changes no embedding."""

import pytest
import torch
from click.testing import CliRunner

from evaluation.reports import profile
from hear_audioformer import msm_mae
from hear_audioformer.embedder import Embedder
from tests.conftest import SMALL, small_encoder


@pytest.mark.parametrize("method", SMALL)
def test_parts_are_found_and_embeddings_stay(method: str) -> None:
    encoder = small_encoder(method)
    audio = torch.randn(1, 8000)
    wanted = Embedder(encoder).scene(audio)
    watch = profile.watched(encoder)
    assert torch.equal(Embedder(encoder).scene(audio), wanted)
    parts = {"front end", "patch embedding", "linear layers", "rest of the blocks", "pooling"}
    assert parts <= set(watch.seconds)
    assert all(seconds > 0 for seconds in watch.seconds.values())


def test_a_part_leaves_out_what_lies_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 5.0, 6.0])
    monkeypatch.setattr(profile.time, "process_time", lambda: next(now))
    watch = profile.Watch()
    watch.function("outer", watch.function("inner", lambda: None))()
    assert watch.seconds == {"inner": 4.0, "outer": 2.0}


def test_the_command_prints_a_line_for_a_method_and_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(msm_mae.SIZES, "tiny", (16, 1, 1))
    result = CliRunner().invoke(profile.main, ["msm-mae", "--size", "tiny", "--seconds", "0.5", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    assert "| msm-mae-tiny | 0.5 s |" in result.output
