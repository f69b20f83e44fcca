"""Crops from shards: those of the resident corpus, read ahead or not, in whatever order they are wanted."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from corpora.index import Index
from corpora.pack import PackError
from tests.corpora.archive import corpus_json, packed, run, sound
from training.data.crops import Crops
from training.data.stream import Reader, Span, Stream, StreamError, workers_for

SAMPLES = 16000
SHARES = {"speech": 0.7, "music": 0.3}
SECONDS = {"speech": (0.3, 1.0, 2.5), "music": (20.0, 16.0)}  # 1.0: as long as a crop


def build(out: Path, form: str = "flac", shard_mb: int = 1) -> Path:
    """A corpus of five clips in two kinds."""
    table = out.parent / "recordings.csv"
    lines = ["path,kind"]
    for i, (kind, seconds) in enumerate((kind, length) for kind, lengths in SECONDS.items() for length in lengths):
        soundfile.write(out.parent / f"{i}.wav", sound(i, seconds), 16000)
        lines.append(f"{i}.wav,{kind}")
    table.write_text("\n".join(lines) + "\n")
    result = run(out, "--from", table, "--format", form, "--shard-mb", shard_mb)
    assert result.exit_code == 0, result.output
    packed(out)
    return out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("corpus") / "out")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def streamed(corpus: Path, once: float = 0.0, workers: int = 1) -> Stream:
    return Stream(Index.open(corpus), SAMPLES, SHARES, cap=1.0, once=once, device="cpu", workers=workers)


def resident(corpus: Path, once: float = 0.0) -> Crops:
    return Crops(packed(corpus), SAMPLES, SHARES, cap=1.0, once=once, device="cpu")


@pytest.mark.parametrize("once", [0.0, 0.5])
def test_streamed_crops_are_the_resident_ones(corpus: Path, once: float) -> None:
    assert len(list((corpus / "shards").iterdir())) > 1
    stream, crops = streamed(corpus, once), resident(corpus, once)
    first, second = generator(3), generator(3)
    wanted = crops(60, first)
    assert torch.equal(stream(60, second), wanted)
    assert torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=second))  # what is drawn next
    assert len({tuple(row[:50].tolist()) for row in wanted}) > 50


def test_reading_ahead_changes_nothing(corpus: Path) -> None:
    """By several processes, which go on where a run was killed."""
    seeds = [11, 5, 99, 2**62, 7]
    crops = resident(corpus)
    stream = streamed(corpus, workers=2)
    for left in (seeds, seeds[3:]):
        stream.begin(6, left)
        for seed in left:
            assert torch.equal(stream(6, generator(seed)), crops(6, generator(seed)))


def test_a_stream_is_asked_for_what_it_was_told(corpus: Path) -> None:
    stream = streamed(corpus)
    stream.begin(2, [1, 2, 3])
    stream(2, generator(1))
    with pytest.raises(ValueError, match="another batch than it was told of"):
        stream(2, generator(3))
    stream.begin(2, [1])
    with pytest.raises(ValueError, match="another batch than it was told of"):
        stream(3, generator(1))


def test_opus_is_read_around_the_crop(tmp_path: Path) -> None:
    """Not to the bit: a decoder that starts at the crop has another past than one that starts at the beginning."""
    out = build(tmp_path / "out", "opus")
    stream, crops = streamed(out), resident(out)
    mine, wanted = stream(40, generator(0)), crops(40, generator(0))
    error = (mine - wanted).square().mean(1) / wanted.square().mean(1)
    assert float(error.max()) < 1e-3
    assert torch.equal(mine, stream(40, generator(0)))


def test_the_index_is_made_once_and_again_for_other_shards(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(corpus, out)
    first = Index.open(out)
    os.utime(out / "shards.npz", (0, 0))
    Index.open(out)
    assert (out / "shards.npz").stat().st_mtime == 0
    wanted = resident(corpus)(20, generator(0))
    shutil.rmtree(tmp_path / "out")
    again = build(tmp_path / "out", shard_mb=50)  # the same clips, hence the same fingerprint
    shutil.copy(corpus / "shards.npz", again / "shards.npz")
    second = Index.open(again)
    assert (len(first.names), len(second.names)) == (2, 1)
    assert second.fingerprint == first.fingerprint == corpus_json(corpus)["fingerprint"]
    assert torch.equal(streamed(again)(20, generator(0)), wanted)


def test_the_index_tells_what_a_pack_tells(corpus: Path) -> None:
    index, pack = Index.open(corpus), packed(corpus)
    for name in ("lengths", "kind_of", "package_of"):
        assert np.array_equal(getattr(index, name), getattr(pack, name))
    assert (index.kinds, index.packages, index.fingerprint) == (pack.kinds, pack.packages, pack.fingerprint)
    assert index.hours == pytest.approx(pack.hours)


def test_no_corpus_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="holds no finished corpus"):
        Index.open(tmp_path)
    (tmp_path / "corpus.json").write_text('{"fingerprint": "x"}')
    with pytest.raises(PackError, match="has no shards"):
        Index.open(tmp_path)


def test_a_damaged_shard_is_named(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(corpus, out)
    index = Index.open(out)
    with open(index.path(2), "r+b") as file:
        file.seek(int(index.offsets[2]))
        file.write(bytes(64))
    place = torch.tensor([[2, 0, int(index.lengths[2])]])
    with pytest.raises(StreamError, match=rf"{index.path(2).name}: byte {index.offsets[2]}: "):
        Reader(index, SAMPLES)[place]
    stream = streamed(out)
    stream.begin(40, [0])
    with pytest.raises(StreamError, match=index.path(2).name):  # out of the worker
        stream(40, generator(0))


def test_a_clip_that_is_too_short_is_named(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.open(corpus)
    clip = int(index.lengths.argmin())
    index.lengths[clip] += 10
    with pytest.raises(StreamError, match=f"has no {index.lengths[clip]} samples"):
        Reader(index, SAMPLES)[torch.tensor([[clip, 0, int(index.lengths[clip])]])]


def test_a_span_ends_where_its_clip_does(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"before|inside|after")
    with open(tmp_path / "x", "rb") as file:
        span = Span(file.fileno(), 7, 6)
        assert span.read(100) == b"inside"
        assert (span.tell(), span.read(1)) == (6, b"")
        assert (span.seek(-4, os.SEEK_END), span.read(2)) == (2, b"si")
        assert (span.seek(-1, os.SEEK_CUR), span.read(2)) == (3, b"id")
        span.seek(9)
        assert span.read(1) == b""


def test_cores_are_shared_by_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [workers_for(n) for n in (1, 4, 16, 64)] == [16, 4, 1, 1]


def test_crops_stay_on_their_clip(corpus: Path) -> None:
    """A long clip's crop is a run of its samples, up to the very last one."""
    index, pack = Index.open(corpus), packed(corpus)
    clip = int(index.lengths.argmax())
    length = int(index.lengths[clip])
    firsts = [0, 1, 12345, length - SAMPLES]
    found: Tensor = Reader(index, SAMPLES)[torch.tensor([[clip, first, length] for first in firsts])]
    for row, first in zip(found, firsts, strict=True):
        assert np.array_equal(row.numpy(), pack.clip(clip)[first : first + SAMPLES])
