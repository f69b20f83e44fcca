"""The validator must find what is wrong: one broken module a rule."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hear_audioformer.validate import RULES, check


class Model(nn.Module):
    """A minimal model that keeps every rule: two band energies each 20 ms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(2))
        self.sample_rate: Any = 16000
        self.scene_embedding_size: Any = 2
        self.timestamp_embedding_size: Any = 2


def timestamps(audio: Tensor, model: Model) -> tuple[Tensor, Tensor]:
    if not torch.isfinite(audio).all():
        raise ValueError("NaN")
    count = max(1, audio.shape[1] // 320)
    frames = nn.functional.pad(audio, (0, max(0, 320 - audio.shape[1])))[:, : count * 320].unflatten(1, (count, 320))
    features = torch.stack([frames.mean(2), frames.square().mean(2)], dim=2)
    times = (torch.arange(count) * 20.0 + 10.0) if audio.shape[1] >= 320 else torch.zeros(1)
    return (features @ model.weight).detach(), times.expand(len(audio), -1)


def scene(audio: Tensor, model: Model) -> Tensor:
    return timestamps(audio, model)[0].mean(1)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A good module, to be spoilt by a test."""
    module = ModuleType("good")
    module.load_model = lambda *_: Model()  # type: ignore[attr-defined]
    module.get_scene_embeddings = scene  # type: ignore[attr-defined]
    module.get_timestamp_embeddings = timestamps  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "good", module)
    return module


def findings() -> dict[str, str]:
    """Rules that do not hold, and how badly."""
    return {finding.rule: finding.level for finding in check("good") if finding.level != "ok"}


def test_a_good_module_passes_every_rule(module: ModuleType) -> None:
    assert [finding.rule for finding in check("good")] == list(RULES)
    assert findings() == {}


def spoilt_model(**attributes: Any) -> Callable[..., Model]:
    def load(*_: object) -> Model:
        model = Model()
        for name, value in attributes.items():
            setattr(model, name, value)
        return model

    return load


def times_as(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Model], tuple[Tensor, Tensor]]:
    def spoilt(audio: Tensor, model: Model) -> tuple[Tensor, Tensor]:
        frames, times = timestamps(audio, model)
        return frames, change(times)

    return spoilt


def normalised_by_batch(audio: Tensor, model: Model) -> Tensor:
    return scene((audio - audio.mean()) / (audio.std() + 1e-6), model)


SPOILT: list[tuple[str, str, Any, str]] = [
    ("module has the three functions", "load_model", None, "error"),
    ("load_model returns a torch module", "load_model", lambda *_: object(), "error"),
    ("sample rate", "load_model", spoilt_model(sample_rate=8000), "error"),
    ("sample rate", "load_model", spoilt_model(sample_rate=32000), "warning"),
    ("embedding sizes", "load_model", spoilt_model(scene_embedding_size=2.0), "error"),
    ("scene embeddings", "load_model", spoilt_model(scene_embedding_size=3), "error"),
    ("scene embeddings", "get_scene_embeddings", lambda a, m: scene(a, m).half(), "error"),
    ("scene embeddings", "get_scene_embeddings", lambda a, m: scene(a, m) @ m.weight, "error"),
    ("timestamp embeddings", "load_model", spoilt_model(timestamp_embedding_size=5), "error"),
    ("timestamp embeddings", "get_timestamp_embeddings", times_as(lambda t: t[:, :-1]), "error"),
    ("timestamps are regular", "get_timestamp_embeddings", times_as(lambda t: t + 0.01 * (t > 500)), "error"),
    ("timestamps are at most 50 ms apart", "get_timestamp_embeddings", times_as(lambda t: t * 3), "warning"),
    ("timestamps cover the clip", "get_timestamp_embeddings", times_as(lambda t: t + 15), "error"),
    ("timestamps cover the clip", "get_timestamp_embeddings", times_as(lambda t: t - 15), "warning"),
    ("an embedding does not depend on its neighbours", "get_scene_embeddings", normalised_by_batch, "error"),
    ("short, silent and clipped audio", "get_scene_embeddings", lambda a, m: scene(a, m).log(), "error"),
    ("NaN in the audio", "get_scene_embeddings", lambda a, m: scene(a.nan_to_num(), m), "warning"),
]


@pytest.mark.parametrize(("rule", "function", "replacement", "level"), SPOILT)
def test_each_fault_is_found(module: ModuleType, rule: str, function: str, replacement: Any, level: str) -> None:
    setattr(module, function, replacement)
    assert findings().get(rule) == level


def test_a_stranger_that_raises_is_a_finding(module: ModuleType) -> None:
    module.get_scene_embeddings = lambda audio, model: 1 / 0  # type: ignore[attr-defined]
    assert any("ZeroDivisionError" in finding.detail for finding in check("good"))
