"""Part files of both forms: rows, footers, and nothing half written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from hear_audioformer.bulk import parts
from hear_audioformer.bulk.parts import Kind, Part, footer_of, rows_of, span
from hear_audioformer.bulk.rows import Rows, Trouble
from hear_audioformer.bulk.spool import Spool
from hear_audioformer.errors import StoreError

FACTS = {"model": "m", "sha256": "ff", "dim": 3}


def rows(path: str, count: int, dtype: str = "float32") -> Rows:
    vectors = np.random.default_rng(len(path)).standard_normal((count, 3)).astype(dtype)
    return Rows.of(path, 44100, np.arange(count) / 2, np.full(count, 0.5), vectors)


def same(one: Rows, other: Rows) -> bool:
    return one.path == other.path and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("offset", "seconds", "sample_rate", "embedding")
    )


def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "unfinished").mkdir()
    return tmp_path, tmp_path / "unfinished"


@pytest.mark.parametrize("form", ["parquet", "npz"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_read(tmp_path: Path, form: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "GROUP", 50)
    part = Part(*places(tmp_path), (7, 12), Kind(form, 3, dtype, FACTS))
    some = [rows("a.wav", 1, dtype), rows("böse.wav", 9, dtype), rows("c.wav", 2, dtype)]
    for one in some:
        part.write(one)
    part.footer.keys[7] = (100, 1_700_000_000_123_456_789)
    part.footer.troubles.append(Trouble(8, "d.wav", "no samples", "2026-01-01T00:00:00+00:00"))
    assert not part.path.exists()
    part.commit()
    assert span(part.path) == (7, 12)
    assert same(Rows.joined(list(rows_of(part.path))), Rows.joined(some))
    assert footer_of(part.path) == part.footer
    assert part.footer.rows == 12
    assert not os.listdir(tmp_path / "unfinished")


def test_parquet_has_fixed_lists_and_the_facts(tmp_path: Path) -> None:
    part = Part(*places(tmp_path), (0, 0), Kind("parquet", 3, "float16", FACTS))
    part.write(rows("a.wav", 2, "float16"))
    part.commit()
    schema = parquet.read_schema(part.path)
    assert str(schema.field("embedding").type) in {
        "fixed_size_list<element: halffloat>[3]",
        "fixed_size_list<item: halffloat>[3]",
    }
    assert json.loads(schema.metadata[b"hear_audioformer"]) == FACTS


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_a_part_without_rows(tmp_path: Path, form: str) -> None:
    part = Part(*places(tmp_path), (0, 31), Kind(form, 3, "float32", FACTS))
    part.commit()
    assert list(rows_of(part.path)) == []
    assert footer_of(part.path).rows == 0


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part(*places(tmp_path), (0, 31), Kind("npz", 3, "float32", FACTS))
    part.write(rows("a.wav", 2))

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "sync_file", full)
    with pytest.raises(StoreError, match="No space left on device; mend this and give the same command again"):
        part.commit()
    assert not part.path.exists()


def test_content_and_name_are_brought_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content before the name: a part that is there after a loss of power is whole."""
    synced = []
    monkeypatch.setattr(parts, "sync_file", lambda path: synced.append(path.parent.name))
    monkeypatch.setattr(parts, "sync_folder", lambda path: synced.append(path.name))
    part = Part(*places(tmp_path), (0, 31), Kind("parquet", 3, "float32", FACTS))
    part.commit()
    assert synced == ["unfinished", tmp_path.name]


def test_a_spool_gives_rows_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hear_audioformer.bulk.spool.GROUP", 60)
    with Spool(tmp_path) as spool:
        for _ in range(2):
            some = [rows(f"{number}.wav", 2) for number in range(7)]
            for one in some:
                spool.add(one)
            assert spool.path.exists()
            assert same(Rows.joined(list(spool.taken())), Rows.joined(some))
        assert list(spool.taken()) == []
    assert not os.listdir(tmp_path)
