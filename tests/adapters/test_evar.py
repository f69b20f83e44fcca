"""The representation by EVAR's interface; EVAR is no package of PyPI, so a stand-in gives the base class."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from hear_audioformer import weights
from tests.test_weights import AUDIO, write_tiny


class BaseAudioRepr(nn.Module):
    """As far as evar/ar_base.py goes: the configuration as attributes."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        super().__init__()
        self.cfg = SimpleNamespace(**cfg)


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    base: Any = ModuleType("evar.ar_base")
    base.BaseAudioRepr = BaseAudioRepr
    monkeypatch.setitem(sys.modules, "evar", ModuleType("evar"))
    monkeypatch.setitem(sys.modules, "evar.ar_base", base)
    monkeypatch.delitem(sys.modules, "hear_audioformer.adapters.evar", raising=False)
    from hear_audioformer.adapters import evar

    return evar


def test_shapes_and_values(adapter: Any, tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "tiny.safetensors")
    model = weights.load_model(file)
    config = {"weight_file": str(file), "sample_rate": 16000, "feature_d": model.scene_embedding_size}
    representation = adapter.AR_HearAudioformer(config)
    assert torch.equal(representation(AUDIO), model.scene(AUDIO))
    assert torch.equal(representation.encode_frames(AUDIO).transpose(1, 2), model.timestamps(AUDIO)[0])


def test_another_rate_or_width_is_refused(adapter: Any) -> None:
    with pytest.raises(ValueError, match="sample_rate: 32000 in the configuration; set 16000"):
        adapter.AR_HearAudioformer({"weight_file": "msm-mae-tiny", "sample_rate": 32000, "feature_d": 1920})
    with pytest.raises(ValueError, match="feature_d: 3840 in the configuration; set 1920"):
        adapter.AR_HearAudioformer({"weight_file": "msm-mae-tiny", "sample_rate": 16000, "feature_d": 3840})
