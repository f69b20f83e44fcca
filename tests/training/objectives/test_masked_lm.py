"""Masks of codes: how many, which, what stands in their place, and what a guess without a model is worth."""

import math

import pytest
import torch

from hear_audioformer.audioformer.language import Sizes
from training.objectives.masked_lm import MASKED, REPLACED, MaskedHead, Mode, choose, copied, corrupt, entropy

EVERYWHERE = torch.ones(40, 500, dtype=torch.bool)


@pytest.mark.parametrize("mode", ["token", "span"])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_is_as_wanted(mode: Mode, share: float) -> None:
    torch.manual_seed(0)
    assert float(choose(EVERYWHERE, share, mode).float().mean()) == pytest.approx(share, abs=0.02)


def test_tokens_are_single_and_spans_are_not() -> None:
    torch.manual_seed(0)
    follows = {}
    for mode in ("token", "span"):
        chosen = choose(EVERYWHERE, 0.25, mode)  # type: ignore[arg-type]
        follows[mode] = float((chosen[:, 1:] & chosen[:, :-1]).sum() / chosen[:, :-1].sum())
    assert follows["token"] == pytest.approx(0.25, abs=0.03)
    assert follows["span"] > 0.85
    chosen = choose(torch.ones(200, 60, dtype=torch.bool), 0.02, "span")
    chosen = chosen[chosen.sum(1) > 1]  # without the single places of rows that no span fell on
    lengths = {len(run) for row in chosen.int().tolist() for run in "".join(map(str, row))[10:50].strip("1").split("0")}
    assert lengths - {0}
    assert min(lengths - {0}) >= 10


@pytest.mark.parametrize("mode", ["token", "span"])
def test_only_what_is_allowed_and_at_least_one(mode: Mode) -> None:
    torch.manual_seed(0)
    allowed = torch.zeros(64, 30, dtype=torch.bool)
    allowed[:, 7:9] = True
    allowed[0] = False
    chosen = choose(allowed, 0.01, mode)
    assert not (chosen & ~allowed).any()
    assert chosen[1:].any(1).all()
    assert not chosen[0].any()


def test_what_is_shown_instead() -> None:
    """Of the chosen, 80 % masks, 10 % other codes of the same codebook, 10 % as they are; of the rest nothing."""
    torch.manual_seed(0)
    codes = torch.full((40, 500), 3)
    chosen = choose(EVERYWHERE, 0.25)
    shown, hidden = corrupt(codes, chosen, 50)
    changed = shown != codes
    assert not (hidden & ~chosen).any()
    assert not (changed & (hidden | ~chosen)).any()
    assert float(hidden.sum() / chosen.sum()) == pytest.approx(MASKED, abs=0.02)
    assert float(changed.sum() / chosen.sum()) == pytest.approx(REPLACED * 49 / 50, abs=0.015)
    assert sorted(shown[changed].unique().tolist()) == [code for code in range(50) if code != 3]


def test_a_frame_is_hidden_in_all_codebooks() -> None:
    torch.manual_seed(0)
    codes = torch.full((40, 500, 3), 60)
    shown, _ = corrupt(codes, choose(EVERYWHERE, 0.25), 50)
    changed = shown != codes
    assert changed.any()
    assert torch.equal(changed.any(2), changed.all(2))


def test_copies_come_from_the_last_place_that_shows() -> None:
    codes = torch.tensor([[5, 6, 7, 8, 9], [1, 2, 3, 4, 5]])
    chosen = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 0, 1, 0]]).bool()
    assert copied(codes, chosen).tolist() == [[5, 5, 5, 8, 8], [-1, -1, 3, 3, 5]]


def test_entropy() -> None:
    codes = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]])
    everything = torch.ones_like(codes)
    assert float(entropy(codes, 10, everything)) == pytest.approx(math.log(4))
    assert float(entropy(codes, 10, codes < 2)) == pytest.approx(math.log(2))
    assert float(entropy(codes, 10, codes == 2)) == pytest.approx(0, abs=1e-6)


def test_a_head_answers_for_some_words_as_it_does_for_all() -> None:
    torch.manual_seed(0)
    sizes = Sizes(8, 1, 2, 16, 20)
    head = MaskedHead(8, 20, sizes.epsilon)
    torch.nn.init.normal_(head.bias)
    states, table = torch.randn(2, 5, 8), torch.randn(20, 8)
    assert torch.allclose(head(states, table, slice(4, 12)), head(states, table)[..., 4:12], atol=1e-6)
