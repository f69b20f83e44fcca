"""Mixtures of labelled sources: what is told of them is in them, and a seed fixes all of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.data.labelled_corpus import solos, tone, write
from training.data import labelled_mixtures, make_labelled_set
from training.data.labelled_mixtures import LabelledMixtures, MixtureConfig, fixed
from training.data.labelled_set import LabelledSet
from training.data.plain import NOTES, PLAIN, plain

SAMPLES = 8000


@pytest.fixture
def table(tmp_path: Path) -> LabelledSet:
    return make_labelled_set.make(tmp_path / "set", [solos(tmp_path / "solos")], 30, 0.5, seed=1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def recorded(table: LabelledSet, split: str = "train", **recipe: object) -> LabelledMixtures:
    """Without synthesis, so that spectra tell what is heard."""
    sources = [source for source in table.sources if source.corpus == 0]
    chosen = LabelledSet.of(table.folder, sources, [table.folder.parent / "solos"])
    return LabelledMixtures(chosen, split, SAMPLES, MixtureConfig(**recipe))  # type: ignore[arg-type]


def test_a_seed_fixes_a_batch(table: LabelledSet) -> None:
    source = LabelledMixtures(table, "train", SAMPLES)
    one, again, other = (source(6, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.audio, again.audio)
    assert torch.equal(one.targets, again.targets)
    assert not torch.equal(one.audio, other.audio)
    assert one.audio.shape == (6, SAMPLES)
    assert one.lengths == [SAMPLES] * 6
    assert one.targets.shape == (6, len(table.classes))
    assert torch.equal(
        LabelledMixtures(LabelledSet.open(table.folder), "train", SAMPLES)(6, generator(3)).audio, one.audio
    )


def test_what_is_told_is_heard_and_nothing_else(table: LabelledSet) -> None:
    """Tones of 250 to 280 Hz and of 3 to 3.4 kHz: a band has power where its label is told, and none elsewhere."""
    source = recorded(table, shares=(0.5, 0.5), below_db=6.0)
    audio, targets = source.draw(60, generator(0))
    power = torch.fft.rfft(audio).abs().square()
    bands = {"low": power[:, 100:160].sum(1), "high": power[:, 1450:1800].sum(1)}
    for name, band in bands.items():
        told = targets[:, source.table.classes.index(name)].bool()
        share = band / power.sum(1)
        assert 10 < told.sum() < 60
        assert (share[told] > 0.05).all()
        assert (share[~told] < 0.01).all()
    assert targets[:, source.table.classes.index("music")].all()


def test_training_never_hears_a_validation_clip(table: LabelledSet, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: set[str] = set()
    clip = LabelledSet.clip
    monkeypatch.setattr(LabelledSet, "clip", lambda self, source: heard.add(source.split) or clip(self, source))
    LabelledMixtures(table, "train", SAMPLES).draw(40, generator(0))
    assert heard == {"train"}
    heard.clear()
    fixed(table, SAMPLES, 40, 0)
    assert heard == {"valid"}


@pytest.mark.parametrize(("shares", "most"), [((1.0,), 1), ((0.0, 1.0), 2), ((0.2, 0.3, 0.5), 3)])
def test_as_many_sources_as_told(table: LabelledSet, shares: tuple[float, ...], most: int) -> None:
    source = recorded(table, shares=shares)
    counts: list[int] = []
    sounds = source._sounds
    source._sounds = lambda chosen, *rest: counts.append(len(chosen)) or sounds(chosen, *rest)  # type: ignore[method-assign]
    source.draw(300, generator(0))
    wanted = 300 * sum(share * (number + 1) for number, share in enumerate(shares))
    assert counts[0] == pytest.approx(wanted, rel=0.1)
    assert counts[0] <= 300 * most
    with pytest.raises(ValueError, match=r"mixtures\.shares"):
        MixtureConfig(shares=())


def test_levels_are_within_bounds(table: LabelledSet) -> None:
    audio, _ = LabelledMixtures(table, "train", SAMPLES, MixtureConfig(peak_db=-20.0)).draw(100, generator(0))
    peaks = audio.abs().amax(1)
    assert torch.isfinite(audio).all()
    assert 0.0999 < peaks.min() < 0.15
    assert 0.8 < peaks.max() <= 1.0001


def test_a_short_clip_is_heard_once_and_a_long_one_where_it_is_loud(tmp_path: Path) -> None:
    quiet, loud = np.zeros(40000), tone(500.0, 0.5)
    quiet[32000:] = tone(500.0, 0.5)[:8000]
    label = {"label": "music"}
    clips = [("m", f"{split}/{n}/a.flac", "other", label, loud[:800]) for split in ("train", "valid") for n in range(5)]
    folder = write(tmp_path / "c", [*clips, ("m", "train/long/a.flac", "other", label, quiet)])
    source = LabelledMixtures(make_labelled_set.make(tmp_path / "set", [folder], 1, 0.5, 0), "train", SAMPLES)
    short, long = source.sources[0], next(s for s in source.sources if s.group == "train/long")
    heard = source._heard(short, np.array([0.5, 0.0, 0.0]))
    assert (np.flatnonzero(heard)[0], np.flatnonzero(heard)[-1]) == (3601, 4399)
    assert (source._heard(long, np.array([0.0, 1.0, 0.5])) != 0).mean() > 0.9


def test_mixtures_to_validate_by_are_always_the_same(table: LabelledSet) -> None:
    kept, anew, other = table.valid(), fixed(table, SAMPLES, 30, 1), fixed(table, SAMPLES, 30, 2)
    assert np.array_equal(kept.audio, anew.audio)
    assert np.array_equal(kept.targets, anew.targets)
    assert not np.array_equal(kept.audio, other.audio)
    assert kept.audio.dtype == np.int16
    assert kept.targets.sum(1).min() >= 1
    assert labelled_mixtures.PART > 30 or len(kept.audio) == 30


@pytest.mark.parametrize("name", PLAIN)
def test_synthesis_is_what_its_label_says(name: str) -> None:
    audio = plain(name, 8, 16000, 16000, generator(0))
    assert audio.shape == (8, 16000)
    assert torch.isfinite(audio).all()
    assert (audio.abs().amax(1) > 0.02).all()


def test_noises_have_the_colours_of_their_names() -> None:
    """Power by octave, before envelopes: how it falls with frequency."""
    slopes = {}
    for name in ("white", "pink", "brown"):
        power = torch.fft.rfft(PLAIN[name].make(16, 16000, 16000, generator(0))).abs().square().mean(0)
        slopes[name] = float(torch.log2(power[200:400].mean() / power[1600:3200].mean()) / 3)
    assert slopes["white"] == pytest.approx(0.0, abs=0.2)
    assert slopes["pink"] == pytest.approx(1.0, abs=0.25)
    assert slopes["brown"] == pytest.approx(2.0, abs=0.3)
    power = torch.fft.rfft(PLAIN["band"].make(8, 16000, 16000, generator(0))).abs().square()
    half = power.sort(dim=1, descending=True).values.cumsum(1) > 0.95 * power.sum(1, keepdim=True)
    assert (half.long().argmax(1) < 5000).all()


def test_rooms_and_microphones_change_what_is_heard_and_not_what_is_told(table: LabelledSet) -> None:
    config = MixtureConfig(shares=(1.0,), colour=1.0, reverb=0.5)
    clean, damaged = (
        LabelledMixtures(table, "train", SAMPLES, chosen) for chosen in (MixtureConfig(shares=(1.0,)), config)
    )
    sounds = torch.stack([torch.sin(torch.arange(SAMPLES) * step) for step in (0.1, 0.3, 0.5, 0.7)])
    assert torch.equal(clean._recorded(sounds.clone(), generator(0)), sounds)
    heard = damaged._recorded(sounds.clone(), generator(0))
    assert heard.shape == sounds.shape
    assert (heard - sounds).abs().amax(1).min() > 0.01
    assert torch.equal(damaged._recorded(sounds.clone(), generator(0)), heard)
    rare = LabelledMixtures(table, "train", SAMPLES, MixtureConfig(colour=1e-9, reverb=1e-9))
    assert torch.equal(rare._recorded(sounds.clone(), generator(0)), sounds)  # none is drawn
    audio, targets = damaged.draw(20, generator(1))
    assert audio.abs().amax(1).max() <= 1.0
    assert targets.sum(1).min() >= 1


@pytest.mark.parametrize("key", [33, 60, 69, 90])
def test_notes_have_their_pitch(key: int) -> None:
    """The spectrum repeats at the pitch: its partials are multiples, so that the autocorrelation peaks at a period."""
    audio = NOTES[f"note {key}"].make(24, 16000, 16000, generator(key))
    period = 16000 / (440 * 2 ** ((key - 69) / 12))
    power = torch.fft.rfft(audio, n=32768).abs().square()
    correlation = torch.fft.irfft(power)[:, : 2 * int(period) + 4]
    near = correlation[:, int(period * 0.985) : int(period * 1.015) + 2].amax(1) / correlation[:, 0]
    assert near.median() > 0.9


@pytest.mark.parametrize("name", ["colour", "reverb"])
def test_a_share_above_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"data.mixtures.{name} is a share, from 0 to 1; got 1.5"):
        MixtureConfig(**{name: 1.5})
