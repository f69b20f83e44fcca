"""Corruption: the published draws give the published masks, and in the large the published statistics."""

import pytest
import torch
from torch import Tensor

from tests.test_golden_asit import CONFIG, GOLDEN
from training.objectives.gmml import Corruption, lay, squares

SIZE = (592, 128)


def measured() -> dict:
    """What the authors' corruption does at full size."""
    return CONFIG["gmml_statistics_full_size"]["patch16_of_592x128"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clean(crops: int, size: tuple[int, int] = SIZE) -> Tensor:
    return 3 + torch.rand(crops, *size, generator=generator(9))


@pytest.mark.parametrize(("name", "align"), [("align1", CONFIG["drop_align"]), ("alignp", CONFIG["gmml_alignp"])])
def test_replayed_draws_give_the_mask_and_stop_after_the_last(name: str, align: int) -> None:
    draws, wanted = GOLDEN[f"gmml/{name}_draws"].long(), GOLDEN[f"gmml/{name}_mask"].bool()
    share, size = GOLDEN[f"gmml/{name}_fraction"].reshape(1), (wanted.shape[0], wanted.shape[1])
    mask, count = lay(draws[None], share, size, align)
    assert torch.equal(mask[0], wanted)
    assert count.item() == len(draws)
    more = torch.cat([draws, draws.flip(0)])[None].expand(2, -1, -1)  # what comes later does not count
    mask, count = lay(more, torch.cat([share, share / 2]), size, align)
    assert torch.equal(mask[0], wanted)
    assert count[0] == len(draws) > count[1]
    assert mask[1].float().mean() >= share.item() / 2 > _covered(more[1, : int(count[1]) - 1], size, align)


def _covered(draws: Tensor, size: tuple[int, int], align: int) -> float:
    """The share that rectangles cover, one laid after the other."""
    mask = torch.zeros(size)
    for row, column, height, width in draws.tolist():
        r, c = align * (row // align), align * (column // align)
        h, w = (align * round(min(x, end - at) / align) for x, end, at in ((height, size[0], r), (width, size[1], c)))
        mask[r : r + h, c : c + w] = 1
    return float(mask.mean())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("zeros_align1_perc0.7", {"odds": 0.0}),
        ("zeros_align16_perc0.7", {"odds": 0.0, "align": 16}),
        ("zeros_align1_perc0.5", {"odds": 0.0, "drop": 0.5}),
        ("replace_align1_0.3", {"odds": 1.0}),
    ],
)
def test_statistics_are_the_published_ones(name: str, options: dict) -> None:
    crops, wanted = 60, measured()[name]
    mask = Corruption(**options)(clean(crops), generator()).mask.float()
    share = mask.mean((1, 2))
    error = wanted["mask_std"] * (1 / crops + 1 / 200) ** 0.5
    assert float(share.mean()) == pytest.approx(wanted["mask_mean"], abs=4 * error)
    assert float(share.std()) == pytest.approx(wanted["mask_std"], rel=0.4)
    assert wanted["min"] - 0.01 < share.min()
    assert share.max() < wanted["max"] + 0.03
    if "patches_fully_masked" in wanted:
        patches = mask.unflatten(1, (-1, 16)).unflatten(3, (-1, 16)).mean((2, 4))
        assert float((patches == 1).float().mean()) == pytest.approx(wanted["patches_fully_masked"], abs=0.04)
        partly = ((patches > 0) & (patches < 1)).float().mean()
        assert float(partly) == pytest.approx(wanted["patches_partly_masked"], abs=0.04)


def density(shapes: str) -> tuple[float, float, float]:
    """How often the first rows, the first columns, and all pixels are covered."""
    mask = Corruption(odds=0.0, shapes=shapes)(clean(50), generator()).mask.float()  # type: ignore[arg-type]
    return float(mask[:, :60].mean()), float(mask[:, :, :16].mean()), float(mask.mean())


def test_published_blocks_neglect_the_edges_and_even_ones_do_not() -> None:
    rows, columns, everywhere = density("blocks")
    assert rows == pytest.approx(measured()["mask_density_by_time_rows_0_60_200_400_532_592"][0], abs=0.05)
    assert columns == pytest.approx(measured()["mask_density_by_mel_0_16_48_80_112_128"][0], abs=0.05)
    rows, columns, even = density("even")
    assert even == pytest.approx(everywhere, abs=0.03)
    assert rows == pytest.approx(even, abs=0.06)
    assert columns == pytest.approx(even, abs=0.06)


def test_patches_are_whole() -> None:
    mask = Corruption(odds=0.0, align=16, shapes="patches")(clean(40), generator()).mask.float()
    patches = mask.unflatten(1, (-1, 16)).unflatten(3, (-1, 16)).mean((2, 4))
    assert set(patches.unique().tolist()) == {0.0, 1.0}
    assert float(mask.mean()) == pytest.approx(0.6, abs=0.03)
    order = torch.tensor([[[0.3, 0.1], [0.9, 0.2]]])
    assert squares(order, torch.tensor([0.5]), (4, 4))[0, ::2, ::2].tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("shapes", ["blocks", "even", "patches"])
def test_dropped_is_zero_and_replaced_is_of_another_crop(shapes: str) -> None:
    crops = 24
    given = clean(crops, (96, 128)) + 10 * torch.arange(crops)[:, None, None]
    found = Corruption(align=16, shapes=shapes)(given, generator())  # type: ignore[arg-type]
    assert torch.equal(found.pictures[~found.mask], given[~found.mask])
    kinds = []
    for crop in range(crops):
        hidden = found.pictures[crop][found.mask[crop]]
        if not hidden.any():
            kinds.append("dropped")
            assert found.mask[crop].float().mean() >= 0.5
            continue
        [other] = ((hidden - 3) / 10).floor().unique().long().tolist()
        assert torch.equal(hidden, given[other][found.mask[crop]])
        kinds.append("replaced" if other != crop else "itself")
        assert 0.3 <= found.mask[crop].float().mean() < 0.5
    assert 4 < kinds.count("replaced") < 20
    assert kinds.count("dropped") > 4


def test_odds() -> None:
    given = clean(10, (96, 128))
    for odds in (0.0, 1.0):
        found = Corruption(odds=odds)(given, generator())
        assert (found.pictures[found.mask] == 0).all().item() == (odds == 0.0)


def test_a_seed_means_one_corruption() -> None:
    given = clean(4, (96, 128))
    state = torch.get_rng_state()
    one, two, other = (Corruption()(given, generator(seed)).pictures for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from elsewhere


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": "dots"}, "choose blocks, even or patches"),
        ({"drop": 1.0}, "shares of one"),
        ({"replace": 0.0}, "shares of one"),
        ({"odds": 1.5}, "shares of one"),
    ],
)
def test_impossible_options_say_why(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Corruption(**options)


def test_patches_must_fit() -> None:
    with pytest.raises(ValueError, match="cannot be cut into squares of 48: change align"):
        Corruption(align=48, shapes="patches")(clean(1), generator())
