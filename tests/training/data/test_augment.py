"""Augmentation: as often as asked, by what was asked, from the batch's generator alone."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.data.test_crops import CLIPS, small_pack
from training.data.augment import Augment
from training.data.crop_batches import CropBatches
from training.data.crops import Crops
from training.data.stream import Stream

RATE = 16000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bursts(batch: int = 200, samples: int = 1600) -> Tensor:
    """Clips of noise with silence in their second half, all of them different."""
    audio = 0.1 * torch.randn(batch, samples, generator=seeded(9)).clamp(-3, 3)
    audio[:, samples // 2 :] = 0
    return audio


def changed(augment: Augment, audio: Tensor) -> float:
    return float((augment(audio, RATE, seeded()) != audio).any(1).float().mean())


def test_nothing_is_the_default() -> None:
    audio, generator = bursts(), seeded()
    assert Augment()(audio, RATE, generator) is audio
    assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=seeded()))


@pytest.mark.parametrize("name", ["mix", "reverb"])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_share_of_the_crops_is_changed(name: str, share: float) -> None:
    audio = bursts()
    assert changed(Augment(**{name: share}), audio) == pytest.approx(share, abs=0.08)
    assert audio.equal(bursts())  # what came in stays


def test_no_crop_drawn_is_no_error() -> None:
    audio = bursts(2)
    for seed in range(20):
        assert Augment(mix=0.05, reverb=0.05)(audio, RATE, seeded(seed)).shape == audio.shape


def test_rooms_ring_on_and_mixtures_hold_two() -> None:
    audio = bursts()
    late = audio.shape[1] // 2 + 100
    assert (Augment(reverb=1.0)(audio, RATE, seeded())[:, late:].abs().amax(1) > 0).all()
    mixed = Augment(mix=1.0)(audio, RATE, seeded())
    guests = mixed - audio
    assert 0.6 < (guests[:, : audio.shape[1] // 4] != 0).any(1).float().mean() < 1.0  # some come in late


def test_levels_change_by_at_most_what_was_asked() -> None:
    audio = bursts()
    ratio = Augment(gain_db=6.0)(audio, RATE, seeded()).abs().amax(1) / audio.abs().amax(1)
    decibels = 20 * ratio.log10()
    assert -6.01 < float(decibels.min()) < -5
    assert 5 < float(decibels.max()) < 6.01


def test_all_of_it_stays_in_bounds_and_repeats() -> None:
    audio = bursts() * 3.3
    augment = Augment(mix=0.5, reverb=0.5, gain_db=12.0)
    once = augment(audio, RATE, seeded(1))
    assert once.abs().max() <= 1.0 + 1e-6
    assert torch.equal(once, augment(audio, RATE, seeded(1)))
    assert not torch.equal(once, augment(audio, RATE, seeded(2)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"mix": 1.5}, "augment.mix is a share"), ({"once": -0.1}, "augment.once"), ({"gain_db": -3}, "gain_db must not")],
)
def test_wrong_shares_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augment(**wrong)


def test_real_crops_are_augmented_and_synthetic_ones_are_not(tmp_path: Path) -> None:
    """Synthetic crops follow the same draws when the real ones before them take none of them."""
    crops = Crops(small_pack(tmp_path, CLIPS), 1600, {"speech": 1.0}, device="cpu")

    def batch(augment: Augment, share: float) -> Tensor:
        return CropBatches(crops, 1600, RATE, synthetic=share, augment=augment)(8, seeded())

    plain, louder = batch(Augment(), 0.5), batch(Augment(gain_db=20.0), 0.5)
    assert not torch.equal(louder[:4], plain[:4])
    direction = louder[:4] / plain[:4].clamp(min=1e-9)
    heard = plain[:4] > 0.01
    assert all(row[on].std() < 1e-4 * row[on].mean() for row, on in zip(direction, heard, strict=True) if on.any())
    assert torch.equal(batch(Augment(gain_db=20.0), 1.0), batch(Augment(), 1.0))


def test_a_mixture_tells_its_reader_of_the_real_crops_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[int]]] = []
    stream = Stream.__new__(Stream)
    monkeypatch.setattr(Stream, "begin", lambda _, batch, seeds: asked.append((batch, list(seeds))))
    CropBatches(stream, 1600, RATE, synthetic=0.25, augment=Augment()).begin(8, [1, 2])
    CropBatches(stream, 1600, RATE, synthetic=1.0, augment=Augment()).begin(8, [1, 2])
    assert asked == [(6, [1, 2])]
