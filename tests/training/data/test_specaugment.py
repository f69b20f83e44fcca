"""SpecAugment: one band and one stretch are hidden, of sizes and at places drawn for each clip."""

import pytest
import torch

from training.data.specaugment import SpecAugment, hidden

CPU = torch.device("cpu")


def runs(mask: torch.Tensor) -> torch.Tensor:
    """How many runs of ones each row has."""
    steps = torch.nn.functional.pad(mask.int(), (1, 1)).diff(dim=1)
    return (steps == 1).sum(1)


def test_each_row_has_one_run_of_all_sizes_anywhere() -> None:
    torch.manual_seed(0)
    mask = hidden(4000, 10, 0.45, CPU)
    sizes = mask.sum(1)
    assert sizes.bincount(minlength=5).tolist() == pytest.approx([800] * 5, rel=0.15)
    assert (runs(mask) == (sizes > 0)).all()
    fours = mask[sizes == 4]
    assert fours.float().argmax(1).bincount(minlength=7).tolist() == pytest.approx([len(fours) / 7] * 7, rel=0.3)


def test_all_of_it_at_most() -> None:
    torch.manual_seed(0)
    assert hidden(500, 3, 1.0, CPU).sum(1).max() == 3
    assert hidden(500, 3, 0.2, CPU).sum() == 0


def test_a_band_and_a_stretch_are_zero_and_the_rest_untouched() -> None:
    torch.manual_seed(0)
    features = torch.rand(50, 40, 16) + 1
    masked = SpecAugment(bands=0.5, frames=0.25)(features)
    bands, frames = (masked == 0).all(1), (masked == 0).all(2)
    gone = bands[:, None, :] | frames[:, :, None]
    assert torch.equal(masked, features.masked_fill(gone, 0.0))
    assert (runs(bands) <= 1).all()
    assert (runs(frames) <= 1).all()
    assert 6 <= bands.sum(1).max() <= 8
    assert 8 <= frames.sum(1).max() <= 10
    assert len({tuple(row.tolist()) for row in bands}) > 10


def test_nothing_is_hidden_or_drawn_by_default() -> None:
    features = torch.rand(2, 4, 4)
    before = torch.get_rng_state()
    assert SpecAugment()(features) is features
    assert torch.equal(torch.get_rng_state(), before)


def test_codes_are_masked_in_stretches_of_time() -> None:
    torch.manual_seed(0)
    codes = torch.randint(1024, (50, 40, 4), dtype=torch.int32)
    masked = SpecAugment(frames=0.25)(codes)
    gone = (masked == -1).all(2)
    assert torch.equal(masked, codes.masked_fill(gone[..., None], -1))
    assert (runs(gone) <= 1).all()
    assert 8 <= gone.sum(1).max() <= 10


def test_what_cannot_be_hidden_is_refused() -> None:
    with pytest.raises(ValueError, match="codes have no bands to hide"):
        SpecAugment(bands=0.1, frames=0.1)(torch.zeros(2, 4, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="set specaugment=null"):
        SpecAugment(frames=0.1)(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="from 0 to 1"):
        SpecAugment(bands=48)
