"""Labelled batches: who is drawn how often, which part of a clip, and that reading ahead changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from evaluation.scoring.labels import many_hot
from training.data.labelled_clips import Batch, Clips, Labelled, odds
from training.data.mixup import Mixup

LENGTHS = (50, 200, 1000, 130)
LABELS = [(0,), (1,), (1,), (1,)]
MOST = 150


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Clip i counts up from 1000 * (i + 1), so that every sample tells where it comes from."""
    paths = []
    for i, length in enumerate(LENGTHS):
        paths.append(tmp_path / f"{i}.wav")
        soundfile.write(paths[-1], (1000 * (i + 1) + np.arange(length)).astype(np.int16), 16000, subtype="PCM_16")
    return paths


def reader(files: list[Path], keep: bool = True, workers: int = 0, **options: object) -> Labelled:
    return Labelled(Clips(files, 16000, MOST, keep=keep), LABELS, 2, workers=workers, **options)  # type: ignore[arg-type]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_clips_are_whole_or_a_random_part_and_never_repeated(files: list[Path]) -> None:
    batch = reader(files)(200, seeded())
    starts = set()
    for row, length, target in zip(batch.audio, batch.lengths, batch.targets, strict=True):
        values = (row[:length] * 32768).round().int()
        clip = int(values[0]) // 1000 - 1
        assert length == min(MOST, LENGTHS[clip])
        assert torch.equal(values.diff(), torch.ones(length - 1).int())
        assert not row[length:].any()
        assert target.tolist() == ([1.0, 0.0] if clip == 0 else [0.0, 1.0])
        if clip == 2:
            starts.add(int(values[0]) - 3000)
    assert min(starts) < 100
    assert 750 < max(starts) <= 850
    assert len(starts) > 20


def test_every_part_can_be_drawn(files: list[Path]) -> None:
    clips = Clips(files, 16000, MOST, keep=True)
    heard, _ = clips[torch.tensor([[1.0, 0.0], [1.0, 0.9999]], dtype=torch.float64)]
    assert (heard[:, 0] * 32768).tolist() == [2000.0, 2050.0]


def counts(labelled: Labelled, draws: int = 6000) -> list[float]:
    clip = labelled._places(draws, seeded())[:, 0].long()
    return (clip.bincount(minlength=len(LABELS)) / draws).tolist()


def test_draws_are_even_or_balanced_over_classes(files: list[Path]) -> None:
    assert counts(reader(files)) == pytest.approx([0.25] * 4, abs=0.03)
    assert counts(reader(files, balanced=True)) == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6], abs=0.03)


def test_with_many_labels_a_clip_counts_for_each_by_its_rarity() -> None:
    assert odds([(0,), (0, 1), (0, 2), ()], balanced=True).tolist() == pytest.approx([1 / 3, 4 / 3, 4 / 3, 0])
    assert odds([(0,), (0, 1), ()], balanced=False).tolist() == [1.0, 1.0, 1.0]
    assert many_hot([(0, 2), ()], 3).tolist() == [[1, 0, 1], [0, 0, 0]]


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.audio, other.audio) and one.lengths == other.lengths and torch.equal(one.targets, other.targets)
    )


def test_reading_ahead_gives_the_same_batches(files: list[Path]) -> None:
    """Kept in memory, read between the steps, read by a worker: mixed alike too."""
    mixup = Mixup(share=0.5)
    kept = reader(files, mixup=mixup)
    between = reader(files, keep=False, mixup=mixup)
    ahead = reader(files, keep=False, workers=1, mixup=mixup)
    ahead.begin(6, iter([3, 4]))
    for seed in (3, 4):
        wanted = kept(6, seeded(seed))
        assert same(between(6, seeded(seed)), wanted)
        assert same(ahead(6, seeded(seed)), wanted)
    assert not same(kept(6, seeded(3)), kept(6, seeded(4)))


def test_another_batch_than_was_told_is_an_error(files: list[Path]) -> None:
    ahead = reader(files, keep=False, workers=1)
    ahead.begin(6, iter([3]))
    with pytest.raises(ValueError, match="another batch than it was told of"):
        ahead(6, seeded(5))
