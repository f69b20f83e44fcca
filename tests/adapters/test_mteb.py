"""MTEB's mock tasks, which need no data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.adapters.codec import use_stand_in
from tests.test_weights import AUDIO, embedding, write_tiny

mteb = pytest.importorskip("mteb")
adapter = pytest.importorskip("hear_audioformer.adapters.mteb")


def test_mock_run_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stand_in(monkeypatch)
    results = mteb.mock_run(adapter.HearEncoder(str(write_tiny(tmp_path / "tiny.safetensors"))))
    run = {name: result for name, result in results.items() if result is not None}
    assert run
    assert {name: str(result) for name, result in run.items() if not hasattr(result, "scores")} == {}


def test_encode(tmp_path: Path) -> None:
    """Of a loader of MTEB's kind of rows, at two rates, with two channels."""
    file = write_tiny(tmp_path / "tiny.safetensors")
    clip = {"array": AUDIO[0].numpy(), "sampling_rate": 16000}
    stereo = {"array": np.stack([AUDIO[0].numpy()] * 2), "sampling_rate": 16000}
    rows: Any = [{"audio": clip}, {"audio": stereo}, {"audio": {**clip, "sampling_rate": 8000}}]
    loader = torch.utils.data.DataLoader(rows, batch_size=2)
    vectors = adapter.HearEncoder(str(file)).encode(loader, task_metadata=None, hf_split="", hf_subset="")
    np.testing.assert_allclose(vectors[:2], embedding(file).expand(2, -1).numpy(), atol=1e-5)
    assert len(adapter.Collator(16000).waveform({**clip, "sampling_rate": 8000})) == 2 * len(AUDIO[0])
