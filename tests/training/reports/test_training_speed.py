"""Training speed is compared of the same work: the authors' loop re-created takes the step that ours takes."""

import copy
import json
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from hear_audioformer.asit import Asit, Config
from tests.oracles import torchaudio_kaldi
from training.loop import Settings
from training.objectives.asit import AsitObjective
from training.objectives.asit_network import Heads
from training.reports import training_speed
from training.reports.training_speed import AuthorsLoop, OurLoop

SETTINGS = Settings(steps=10, batch=3, lr=1e-3, clip=0.05, clip_each=True)
HEADS = Heads(hidden=32, bottleneck=16, cls=24, patch=20, paint_hidden=16, paint_bottleneck=8)


@pytest.fixture
def objective() -> AsitObjective:
    torchaudio_kaldi()  # the authors' filter bank
    torch.manual_seed(0)
    encoder = Asit(Config(width=24, depth=2, heads=2, frames=48, sample_rate=16000))
    made = AsitObjective(encoder, epoch=5, span=1.0, seconds=0.6, heads=HEADS, frozen=0, drop_path=0.0)
    for parameter in made.teacher.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return made


def test_both_take_the_same_step(objective: AsitObjective, monkeypatch: pytest.MonkeyPatch) -> None:
    before = copy.deepcopy(objective.state_dict())
    authors, ours = AuthorsLoop(objective, SETTINGS), OurLoop(objective, SETTINGS, "32-true")
    audio = 0.1 * torch.randn(3, objective.crop)
    views = authors.views(audio)
    monkeypatch.setattr(ours.objective, "views", lambda audio, generator: views)
    authors.step(views)
    ours.step(audio)
    found = {name.replace(".layer.", "."): tensor for name, tensor in authors.objective.state_dict().items()}
    for name, tensor in ours.objective.state_dict().items():
        assert torch.allclose(found[name], tensor, atol=2e-6), name
    moved = {name for name, tensor in found.items() if not torch.equal(tensor, before[name])}
    for part in ("student.encoder", "student.project", "student.paint", "teacher.encoder", "centres"):
        assert any(name.startswith(part) for name in moved), part


def test_the_authors_views_are_what_the_objective_makes(objective: AsitObjective) -> None:
    """Clean ones are the encoder's features of some place of the recording; corrupted ones differ as masks say."""
    authors = AuthorsLoop(objective, SETTINGS)
    audio = 0.1 * torch.randn(40, objective.crop)
    views = authors.views(audio)
    assert views.clean.shape == views.seen.pictures.shape == views.seen.mask.shape == (80, 48, 128)
    assert torch.equal(views.seen.pictures[~views.seen.mask], views.clean[~views.seen.mask])
    shares = views.seen.mask.float().mean((1, 2))
    assert 0.3 <= shares.min() < 0.4
    assert 0.6 < shares.max() < 0.8
    clip = audio[0] - 0.05  # what is constant does not count
    whole = authors.objective.encoder
    authors.random.random = lambda: 0.9  # type: ignore[method-assign]
    authors.random.randint = lambda low, high: 160  # type: ignore[method-assign]
    wanted = whole.features(clip[None, 160 : 160 + objective.view], 0, 48)
    assert torch.allclose(authors._crop(clip), wanted[0], atol=1e-3)


def test_the_command_prints_every_contender(monkeypatch: pytest.MonkeyPatch, objective: AsitObjective) -> None:
    monkeypatch.setattr(training_speed, "build", lambda recipe: objective)
    result = CliRunner().invoke(training_speed.main, ["--rounds", "1", "--batch", "2", "--json"])
    assert result.exit_code == 0, result.output
    rates: dict[str, Any] = json.loads(result.stdout)["recordings_per_second"]
    assert list(rates) == ["authors fp32", "authors fp32, data ready", "ours fp32", "ours bf16"]
    assert all(rate > 0 for rate in rates.values())
    wrong = CliRunner().invoke(training_speed.main, ["--recipe", "msm-mae-open"])
    assert wrong.exit_code == 2
    assert "choose one of ASiT" in wrong.output
