"""Mixup: sound and labels are mixed by the same shares."""

import pytest
import torch

from training.data.mixup import Mixup

CLIPS = 400


def batch() -> tuple[torch.Tensor, list[int], torch.Tensor]:
    """Clip i is a constant i and has the label i, and is 100 + i long."""
    lengths = [100 + i for i in range(CLIPS)]
    place = torch.arange(100 + CLIPS)
    audio = torch.stack([i * (place < lengths[i]).float() for i in range(CLIPS)])
    return audio, lengths, torch.eye(CLIPS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_targets_are_the_shares_of_what_sounds() -> None:
    audio, lengths, targets = batch()
    mixed, longer, told = Mixup(share=1.0, alpha=1.0)(audio, lengths, targets, seeded())
    assert torch.allclose(mixed[:, 0], told @ torch.arange(CLIPS).float(), rtol=1e-4)
    assert torch.allclose(told.sum(1), torch.ones(CLIPS))
    assert ((told > 0).sum(1) == 2).float().mean() > 0.95
    assert longer == [int(row.nonzero().max()) + 100 for row in told]


def test_only_a_share_of_the_clips_is_mixed_and_others_stay_to_the_bit() -> None:
    audio, lengths, targets = batch()
    mixed, longer, told = Mixup(share=0.25)(audio, lengths, targets, seeded())
    alone = (told == targets).all(1)
    assert 0.68 < alone.float().mean() < 0.82
    assert torch.equal(mixed[alone], audio[alone])
    assert all(longer[i] == lengths[i] for i in alone.nonzero().flatten().tolist())


def test_shares_follow_the_beta_distribution() -> None:
    """Of Beta(a, a) the variance is 1 / (8 a + 4)."""
    _, _, told = Mixup(share=1.0, alpha=10.0)(*batch(), seeded())
    shares = told.diagonal()
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / 84, rel=0.3)


def test_the_same_seed_mixes_the_same() -> None:
    one, two, other = (Mixup(share=0.5)(*batch(), seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_without_a_share_nothing_is_drawn() -> None:
    generator = seeded()
    audio, lengths, targets = batch()
    assert Mixup()(audio, lengths, targets, generator)[0] is audio
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.parametrize(("options", "message"), [({"share": 1.5}, "from 0 to 1"), ({"alpha": 0.0}, "positive")])
def test_senseless_mixing_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixup(**options)
