"""Frames, windows and time stamps as arithmetic: every frame once, centres where they are, no drift."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hear_audioformer.windows import Blend, Geometry, Grid, Window

LOG_MEL = Geometry(sample_rate=16000, step=160, origin=0, patch=16, columns=32)
KALDI = Geometry(sample_rate=32000, step=320, origin=400, patch=16, columns=37)
CODES = Geometry(sample_rate=24000, step=320, origin=160, patch=1, columns=750)


@pytest.mark.parametrize(
    ("geometry", "hop", "choices"),
    [(LOG_MEL, 40.0, [160, 80, 40, 20, 10]), (KALDI, 40.0, [160, 80, 40, 20, 10]), (CODES, 40 / 3, [40 / 3])],
)
def test_hops(geometry: Geometry, hop: float, choices: list[float]) -> None:
    assert list(geometry.hops()) == pytest.approx(choices)
    assert 1000 * geometry.choose_hop(None) * geometry.step / geometry.sample_rate == pytest.approx(hop)
    with pytest.raises(ValueError, match=f"choose one of {choices[0]:g}"):
        geometry.choose_hop(33.0)


@given(
    geometry=st.sampled_from([LOG_MEL, KALDI, CODES]),
    samples=st.integers(1, 2_000_000),
    which=st.integers(0, 4),
)
def test_time_stamps_keep_the_promise(geometry: Geometry, samples: int, which: int) -> None:
    hops = list(geometry.hops().values())
    hop = hops[which % len(hops)]
    grid = geometry.centred(samples, hop)
    times = geometry.timestamps(grid, samples).double()
    duration, step = 1000 * samples / geometry.sample_rate, 1000 * hop * geometry.step / geometry.sample_rate
    assert len(times) == grid.count >= 1
    assert times[0] >= 0
    assert times[-1] <= duration * (1 + 1e-6)
    if grid.count > 1:
        assert torch.allclose(times.diff(), torch.tensor(step, dtype=torch.float64), atol=1e-2, rtol=0)
        assert times[0] < step
        assert times[-1] > duration - step - 1e-2


@given(
    count=st.integers(1, 500),
    columns=st.integers(1, 40),
    step=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_windows_cover_every_frame_once(count: int, columns: int, step: int) -> None:
    grid = Grid(first=-4, step=step, patch=16, count=count)
    seen: dict[int, int] = {}
    for window in grid.windows(columns):
        frames = range(count)[window.frames]
        assert len(frames) == window.columns <= columns
        for column, frame in enumerate(frames):
            assert frame not in seen
            seen[frame] = window.start + 16 * column
    assert seen == {frame: -4 + step * frame for frame in range(count)}


def test_centres_of_the_specification() -> None:
    """Patch i of a centred 10-ms STFT covers frames 16 i to 16 i + 15: its centre is 10 (16 i + 7.5) ms."""
    samples = 160000
    assert LOG_MEL.timestamps(LOG_MEL.centred(samples, 16), samples)[:3].tolist() == [75.0, 235.0, 395.0]
    assert LOG_MEL.timestamps(LOG_MEL.centred(samples, 4), samples)[:3].tolist() == [35.0, 75.0, 115.0]
    assert KALDI.timestamps(KALDI.centred(2 * samples, 16), 2 * samples)[:2].tolist() == [87.5, 247.5]


@pytest.mark.parametrize("samples", [1, 160, 559])
def test_a_clip_shorter_than_any_centre(samples: int) -> None:
    """It gets the one frame that starts where it does, stamped in its middle."""
    grid = LOG_MEL.centred(samples, 4)
    assert (grid.first, grid.count) == (0, 1)
    assert LOG_MEL.timestamps(grid, samples).tolist() == [samples / 32]


def test_an_hour_does_not_drift() -> None:
    samples = 24000 * 3600
    times = CODES.timestamps(CODES.centred(samples, 1), samples)
    exact = (torch.arange(len(times), dtype=torch.float64) + 0.5) * 320 / 24
    assert (times.double() - exact).abs().max() <= 0.13  # float32 resolves no finer at an hour


def overlapping(count: int, columns: int, stride: int, passes: int = 1) -> list[Window]:
    return list(Geometry(16000, 320, 160, passes, columns, stride).windows(Grid(0, 1, passes, count)))


@pytest.mark.parametrize("count", [1, 9, 10, 11, 14, 15, 16, 40, 41, 57])
def test_overlapping_windows_are_full_and_end_with_the_clip(count: int) -> None:
    windows = overlapping(count, 10, 5)
    assert all(window.columns == min(10, count) for window in windows)
    assert [window.frames.start for window in windows] == [window.start for window in windows]
    assert [window.start for window in windows[:-1]] == list(range(0, max(0, count - 10), 5))
    assert windows[-1].frames.stop == windows[-1].start + windows[-1].done == count
    for window, following in pairwise(windows):
        assert window.start + window.done == following.start <= window.frames.stop


@pytest.mark.parametrize("count", [1, 7, 10, 11, 16, 57])
def test_blended_frames_are_weighted_means(count: int) -> None:
    """Each frame leaves once, in order, whatever other clips' windows come in between."""
    torch.manual_seed(0)
    windows, blend = overlapping(count, 10, 4), Blend()
    values = [torch.randn(2, window.columns, 3) for window in windows]
    found = []
    for window, value in zip(windows, values, strict=True):
        found.append(blend.add(slice(0, 2), window, value))
        blend.add(slice(2, 3), window, torch.zeros(1, window.columns, 3))
    assert [part.start for _, part, _ in found] == [0, *(part.stop for _, part, _ in found[:-1])]
    wanted = torch.zeros(2, count, 3)
    for frame in range(count):
        inside = [
            (min(frame - w.start, w.columns - 1 - (frame - w.start)) + 1, v[:, frame - w.start])
            for w, v in zip(windows, values, strict=True)
            if w.frames.start <= frame < w.frames.stop
        ]
        wanted[:, frame] = sum(weight * value for weight, value in inside) / sum(weight for weight, _ in inside)
    assert (torch.cat([part for *_, part in found], dim=1) - wanted).abs().max() < 1e-6
    assert not blend.held


@pytest.mark.parametrize("count", [1, 3, 4, 39, 40, 43, 75, 200])
def test_passes_overlap_each_by_itself(count: int) -> None:
    """Every frame once; a pass is what a clip of its frames alone would be; no window lies far ahead of another's."""
    windows, blend = overlapping(count, 10, 4, passes=4), Blend()
    found = torch.full((1, count, 1), torch.nan)
    for window in windows:
        frames = torch.arange(count)[window.frames]
        assert len(frames) == window.columns
        assert frames[0] == window.start  # each feature frame begins a patch
        clip, done, mine = blend.add(slice(0, 1), window, frames[None, :, None].float())
        assert found[clip, done].isnan().all()
        found[clip, done] = mine
    assert torch.allclose(found[0, :, 0], torch.arange(count).float())
    assert not blend.held
    for shift in range(min(4, count)):
        alone = overlapping(-(-(count - shift) // 4), 10, 4)
        mine_too = [window for window in windows if window.frames.start % 4 == shift]
        assert [(w.columns, w.done, w.start) for w in alone] == [(w.columns, w.done, w.start // 4) for w in mine_too]
    assert all(after.start >= before.start - 4 * 10 for before, after in pairwise(windows))


@pytest.mark.parametrize("stride", [10, 11, -1])
def test_windows_that_cannot_overlap(stride: int) -> None:
    with pytest.raises(ValueError, match="does not make windows of 10 overlap"):
        Geometry(16000, 320, 160, 1, 10, stride)
