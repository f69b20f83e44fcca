"""Crops from a resident corpus: the right samples, the right shares, the same ones for the same seed."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from corpora import pack
from corpora.pack import Pack
from training.data.crops import Crops, Places, capped, cut, cut_all, draw_odds

RATE = 16000


def small_pack(folder: Path, clips: list[tuple[str, str, float]], fingerprint: str = "abc") -> Pack:
    """A pack of (kind, package, seconds); the samples of clip i are ramps that start at 1000 i."""
    folder.mkdir(parents=True, exist_ok=True)
    lengths = np.array([round(seconds * RATE) for _, _, seconds in clips], np.int64)
    ramps = [1000 * i + np.arange(n) % 1000 for i, n in enumerate(lengths)]
    np.concatenate(ramps).astype("<i2").tofile(folder / "pack.int16")
    kinds, kind_of = np.unique([kind for kind, _, _ in clips], return_inverse=True)
    packages, package_of = np.unique([package for _, package, _ in clips], return_inverse=True)
    with open(folder / "pack.npz", "wb") as file:
        np.savez(
            file,
            offsets=np.cumsum(lengths) - lengths,
            lengths=lengths,
            kinds=kinds,
            kind_of=kind_of.astype(np.int32),
            packages=packages,
            package_of=package_of.astype(np.int32),
            keys=np.array([str(i) for i in range(len(clips))]),
            fingerprint=np.array(fingerprint),
            format=np.array("flac"),
        )
    return Pack.open(folder)


CLIPS = [("speech", "a", 1.0), ("speech", "b", 30.0), ("music", "c", 300.0), ("music", "d", 60.0), ("sfx", "e", 0.1)]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_crops_are_runs_of_one_clip(tmp_path: Path) -> None:
    crops = Crops(small_pack(tmp_path, CLIPS), RATE, {"speech": 0.5, "music": 0.3, "sfx": 0.2}, device="cpu")
    samples = (crops(200, generator(0)) * 32768).round().long()
    assert samples.shape == (200, RATE)
    clip = samples // 1000
    assert (clip == clip[:, :1]).all()
    steps = (samples % 1000).diff(dim=1) % 1000
    lengths = {0: RATE, 4: 1600}
    for row in range(200):
        length = lengths.get(int(clip[row, 0]))
        if length is None:
            assert (steps[row] == 1).all()
        else:  # a short clip starts again at its beginning
            jumps = (steps[row] != 1).nonzero().flatten()
            assert len(jumps) <= RATE // length
    assert len({int(x) for x in samples[:, 0]}) > 100  # they start at random


def test_the_seed_decides(tmp_path: Path) -> None:
    crops = Crops(small_pack(tmp_path, CLIPS), 800, {"speech": 1.0, "music": 1.0}, device="cpu")
    assert torch.equal(crops(16, generator(5)), crops(16, generator(5)))
    assert not torch.equal(crops(16, generator(5)), crops(16, generator(6)))


@pytest.mark.parametrize("once", [0.0, 0.5])
def test_a_batch_at_once_is_a_batch_crop_by_crop(tmp_path: Path, once: float) -> None:
    """What a GPU and a CPU do."""
    pack = small_pack(tmp_path, CLIPS)
    crops = Crops(pack, 3 * RATE, {"speech": 0.6, "sfx": 0.4}, once=once, device="cpu")
    places = crops.places(100, generator(1))
    tensors = [torch.as_tensor(array) for array in (pack.samples, pack.offsets, pack.lengths)]
    together = cut_all(*tensors, places, 3 * RATE).float() / 32768
    assert torch.equal(together, crops(100, generator(1)))


def test_short_clips_may_be_heard_once(tmp_path: Path) -> None:
    """As often as asked, whole, anywhere in the crop; longer clips are not touched."""
    pack = small_pack(tmp_path, [("sfx", "a", 0.1), ("sfx", "b", 2.0)])
    places = Places(pack, RATE, {"sfx": 1.0}, cap=1.0, once=0.4, device="cpu")(2000, generator(0))
    short = places[:, 0] == 0
    once = places[:, 2] == RATE
    assert not once[~short].any()
    assert float(once[short].float().mean()) == pytest.approx(0.4, abs=0.06)
    starts = []
    for clip, first, period in places[once].tolist():
        heard = np.flatnonzero(cut(pack.clip(clip) + 1, first, period, RATE))
        assert len(heard) == 1600
        assert heard[-1] - heard[0] == 1599
        starts.append(heard[0])
    assert min(starts) < 500
    assert max(starts) > RATE - 1600 - 500


def test_kinds_get_their_shares(tmp_path: Path) -> None:
    pack = small_pack(tmp_path, CLIPS)
    odds = draw_odds(pack, RATE, {"speech": 0.5, "music": 0.3, "sfx": 0.2}, cap=1.0)
    by_kind = {kind: float(odds[torch.as_tensor(pack.kind_of) == i].sum()) for i, kind in enumerate(pack.kinds)}
    assert by_kind == pytest.approx({"speech": 0.5, "music": 0.3, "sfx": 0.2})
    drawn = Crops(pack, 16, {"speech": 0.5, "music": 0.3, "sfx": 0.2}, cap=1.0, device="cpu")(20000, generator(0))
    clip = ((drawn[:, 0] * 32768).round() // 1000).long()
    assert torch.allclose(torch.bincount(clip, minlength=5) / 20000, _odds_at(pack, 16), atol=0.02)


def _odds_at(pack: Pack, samples: int) -> torch.Tensor:
    return draw_odds(pack, samples, {"speech": 0.5, "music": 0.3, "sfx": 0.2}, cap=1.0).float()


def test_missing_kinds_leave_their_share_to_the_others(tmp_path: Path) -> None:
    pack = small_pack(tmp_path, CLIPS)
    assert float(draw_odds(pack, RATE, {"speech": 0.2, "birds": 0.8}, cap=1.0)[:2].sum()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"the corpus holds music, sfx, speech, .* name birds") as caught:
        draw_odds(pack, RATE, {"birds": 1.0}, cap=1.0)
    remedy = re.search(r"data\.shares=(\{.*\})", str(caught.value))
    assert remedy
    assert float(draw_odds(pack, RATE, yaml.safe_load(remedy[1]), cap=1.0).sum()) == pytest.approx(1.0)


def test_no_package_takes_more_than_its_cap(tmp_path: Path) -> None:
    clips = [("music", f"p{i}", 3.0) for i in range(20)] + [("music", "huge", 3.0)] * 200
    pack = small_pack(tmp_path, clips)
    odds = draw_odds(pack, RATE, {"music": 1.0}, cap=0.08)
    shares = torch.zeros(21, dtype=torch.float64).index_add_(0, torch.as_tensor(pack.package_of).long(), odds)
    assert float(shares.max()) == pytest.approx(0.08)
    assert float(odds.sum()) == pytest.approx(1.0)


def test_capping_a_share() -> None:
    assert capped(torch.tensor([8.0, 1.0, 1.0]), 0.5).tolist() == pytest.approx([0.5, 0.25, 0.25])
    assert capped(torch.tensor([8.0, 1.0, 0.0]), 0.1).tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert capped(torch.tensor([6.0, 3.0, 1.0]), 0.4).tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_packs_join(tmp_path: Path) -> None:
    first = small_pack(tmp_path / "a", CLIPS, "abc")
    second = small_pack(tmp_path / "b", [("sfx", "b", 0.5), ("ambience", "z", 1.0)], "def")
    joined = pack.join(tmp_path / "both", [tmp_path / "a", tmp_path / "b"])
    assert len(joined) == len(CLIPS) + 2
    assert joined.hours == pytest.approx(first.hours + second.hours)
    for number in range(len(joined)):
        one, row = (first, number) if number < len(CLIPS) else (second, number - len(CLIPS))
        assert np.array_equal(joined.clip(number), one.clip(row))
        assert joined.kinds[joined.kind_of[number]] == one.kinds[one.kind_of[row]]
        assert joined.packages[joined.package_of[number]] == one.packages[one.package_of[row]]
    assert len(set(joined.keys)) == len(joined)
    other = pack.join(tmp_path / "one", [tmp_path / "a"])
    assert len({first.fingerprint, joined.fingerprint, other.fingerprint}) == 3
