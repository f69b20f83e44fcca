"""Results of ``embed``, opened as tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hear_audioformer
from hear_audioformer import table_files
from hear_audioformer.bulk import parts as part_files
from hear_audioformer.errors import StoreError
from hear_audioformer.table import Table, open_table
from tests.bulk.conftest import write_recordings
from tests.conftest import small_encoder, write_model
from tests.tables import blobs, write_part

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings as each kind of table in each form; NAME of ``kind`` and its suffix."""
    folder = tmp_path_factory.mktemp("results")
    model = write_model(small_encoder("msm-mae"), "msm-mae", folder / "small.safetensors")
    write_recordings(folder / "in", 5, 1.0)
    kinds: dict[str, dict[str, Any]] = {"scenes": {}, "segments": {"segment": 0.4}, "timestamps": {"timestamps": True}}
    for kind, options in kinds.items():
        for suffix in ("", ".parquet", ".npz"):
            out = folder / f"{kind}{suffix}"
            hear_audioformer.embed_files(folder / "in", out, model, workers=0, progress=False, **options)
    return folder


@pytest.mark.parametrize("kind", ["scenes", "segments", "timestamps"])
def test_all_forms_hold_the_same(results: Path, kind: str) -> None:
    folder, single, npz = (open_table(results / f"{kind}{suffix}") for suffix in ("", ".parquet", ".npz"))
    assert folder.kind == kind
    for other in (single, npz):
        assert len(other) == len(folder)
        assert other.facts == folder.facts
        assert other.paths == folder.paths
        assert np.allclose(other.offsets, folder.offsets, atol=1e-6)
        assert np.allclose(other.seconds, folder.seconds)
        assert np.array_equal(other.vectors(), folder.vectors())


def test_a_table_names_its_model(results: Path) -> None:
    table = hear_audioformer.open_table(results / "scenes")
    assert isinstance(table, Table)
    header = hear_audioformer.checkpoint.read_header(results / "small.safetensors")
    assert table.facts["sha256"] == header.sha256
    assert table.vectors().shape == (5, table.dim)


@pytest.mark.parametrize("suffix", ["", ".npz"])
def test_some_rows_are_those_of_the_whole(results: Path, suffix: str) -> None:
    table = open_table(results / f"timestamps{suffix}")
    rows = [len(table) - 1, 3, 0, 3]
    assert np.array_equal(table.take(rows), table.vectors()[rows])
    found = table.places(rows)
    assert [place.path for place in found] == [table.paths[row] for row in rows]
    assert [place.offset for place in found] == [table.offsets[row] for row in rows]


def test_batches_are_bounded_and_cross_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_files, "GROUP", 1)
    vectors, _ = blobs(50, 3)
    write_part(tmp_path / "out", vectors[:30])
    write_part(tmp_path / "out", vectors[30:], first=30)
    table = open_table(tmp_path / "out")
    batches = list(table.batches(8))
    assert max(map(len, batches)) <= 8
    assert np.array_equal(np.concatenate(batches), vectors)
    assert np.array_equal(table.take([40, 2]), vectors[[40, 2]])
    assert table.places([40])[0].path == "sounds/0040.flac"


def test_places_that_were_read_stay_in_memory_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ten places of a million rows took ten times as long as finding them."""
    monkeypatch.setattr(part_files, "GROUP", 1)
    monkeypatch.setattr(table_files, "KEPT", 2)
    for first in range(4):
        write_part(tmp_path / "out", blobs(1, 1)[0], first=first)
    store = open_table(tmp_path / "out").store
    assert isinstance(store, table_files.ParquetStore)
    assert store.places([0, 1, 2, 3])["path"] == [f"sounds/{number:04}.flac" for number in range(4)]
    assert len(store._kept) == 2
    store.files[3].unlink()
    assert store.places([3])["path"] == ["sounds/0003.flac"]


def test_float16_becomes_float32(tmp_path: Path) -> None:
    vectors, _ = blobs(5, 2)
    table = open_table(write_part(tmp_path / "out", vectors, dtype="float16"))
    assert table.vectors().dtype == np.float32
    assert np.abs(table.vectors() - vectors).max() < 0.01


def test_zarr(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    out, options = tmp_path / "out.zarr", {"workers": 0, "progress": False, "segment": 0.4}
    hear_audioformer.embed_files(results / "in", out, results / "small.safetensors", **options)  # type: ignore[arg-type]
    one, other = open_table(out), open_table(results / "segments")
    assert one.paths == other.paths
    assert np.array_equal(one.vectors(), other.vectors())
    assert np.array_equal(one.take([4, 1]), other.take([4, 1]))


def test_parts_of_two_models_are_refused(tmp_path: Path) -> None:
    vectors, _ = blobs(6, 2)
    write_part(tmp_path / "out", vectors)
    write_part(tmp_path / "out", vectors, first=6, sha256="1" * 64)
    with pytest.raises(StoreError, match=r"another model or other options .*\(sha256\): keep"):
        open_table(tmp_path / "out")


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_part_that_is_gone_is_missed(tmp_path: Path, gone: int) -> None:
    """Also the last, which only the run's plan tells of; parts without a run are a table."""
    out, model = tmp_path / "out", write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "small.safetensors")
    for number in range(3):
        write_recordings(tmp_path / f"in{number}", 2, 0.5)
        hear_audioformer.embed_files(tmp_path / f"in{number}", out, model, append=number > 0, workers=0, progress=False)
    files = open_table(out).files
    files[gone].unlink()
    with pytest.raises(StoreError, match=f"no part with recordings {2 * gone} to {2 * gone + 1}, .* --append"):
        open_table(out)
    (out / "_run" / "run.json").unlink()
    assert len(open_table(out)) == 4


def test_a_file_that_is_gone_since_is_named(tmp_path: Path) -> None:
    table = open_table(write_part(tmp_path / "out", blobs(6, 2)[0]))
    table.files[0].unlink()
    for read in (table.vectors, lambda: table.take([1]), lambda: table.places([1]), lambda: table.paths):
        with pytest.raises(StoreError, match=r"part-.*parquet cannot be read since .*: open it again"):
            read()


def test_a_row_of_nan_is_named(tmp_path: Path) -> None:
    vectors, _ = blobs(6, 2)
    vectors[4, 1] = np.nan
    table = open_table(write_part(tmp_path / "out", vectors))
    with pytest.raises(StoreError, match=r"first in row 4, of sounds/0004\.flac: embed"):
        list(table.batches(3))


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"path": ["a"]}), tmp_path / "foreign.parquet")
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "broken.npz").write_bytes(b"not")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("path\n")
    messages = {
        "missing": "no such table",
        "foreign.parquet": "is no result of",
        "foreign.npz": "is no result of",
        "broken.parquet": "no whole Parquet file",
        "broken.npz": "no whole .npz file",
        "empty": "holds no parts",
        "a.csv": "is no table",
    }
    for name, message in messages.items():
        with pytest.raises(StoreError, match=message):
            open_table(tmp_path / name)


def test_nan_and_rows_beyond_the_end_are_refused(tmp_path: Path) -> None:
    vectors, _ = blobs(4, 2)
    vectors[2, 0] = np.nan
    table = open_table(write_part(tmp_path / "out", vectors))
    with pytest.raises(StoreError, match="NaN"):
        table.vectors()
    with pytest.raises(ValueError, match=r"row 4: .* has rows 0 to 3"):
        table.take([4])


def test_facts_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = blobs(4, 2)
    write_part(tmp_path / "out", vectors)
    monkeypatch.setattr(table_files.json, "loads", lambda text: {"kind": "scenes", "dim": 8})
    with pytest.raises(StoreError, match="does not say its model, source, sha256"):
        open_table(tmp_path / "out")
