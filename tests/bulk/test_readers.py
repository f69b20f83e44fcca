"""The result as others read it: pandas, polars, DuckDB, pyarrow, datasets, LanceDB, Zarr. Missing ones are skipped."""

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import dataset, parquet

from hear_audioformer.bulk.run import embed_files

PATHS = 40


@pytest.fixture
def result(recordings: list[Path], model: Path, tmp_path: Path) -> Path:
    """A folder of several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hear_audioformer.bulk.plan.TASK_FILES", 8)
        embed_files(recordings, tmp_path / "vectors", model, workers=0, progress=False)
    assert len(list((tmp_path / "vectors").glob("*.parquet"))) > 1
    return tmp_path / "vectors"


@pytest.fixture
def vectors(result: Path) -> np.ndarray:
    table = parquet.read_table(result)
    return np.array(table["embedding"].combine_chunks().flatten()).reshape(len(table), -1)


def test_pyarrow(result: Path, vectors: np.ndarray) -> None:
    table = dataset.dataset(result).to_table()
    assert len(table) == PATHS
    assert table["path"].to_pylist() == sorted(table["path"].to_pylist())


def test_pandas(result: Path, vectors: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(result)
    assert np.array_equal(np.stack(frame.embedding), vectors)


def test_polars(result: Path, vectors: np.ndarray) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(result / "*.parquet")
    assert np.array_equal(frame["embedding"].to_numpy(), vectors)


def test_duckdb(result: Path, vectors: np.ndarray) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(f"SELECT path, embedding FROM '{result}/*.parquet' ORDER BY path").fetchall()
    assert np.array_equal(np.array([row[1] for row in rows], np.float32), vectors)


def test_datasets(result: Path, vectors: np.ndarray, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = sorted(map(str, result.glob("*.parquet")))
    data = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert np.array_equal(np.array(data.with_format("numpy")["embedding"][:]), vectors)


def test_lancedb(result: Path, vectors: np.ndarray, tmp_path: Path) -> None:
    """A search by one of its own rows finds that row."""
    lancedb = pytest.importorskip("lancedb")
    table = lancedb.connect(tmp_path / "lance").create_table("vectors", dataset.dataset(result).to_table())
    found = table.search(vectors[7], vector_column_name="embedding").limit(1).to_arrow()
    assert found["path"].to_pylist() == [parquet.read_table(result)["path"][7].as_py()]


@pytest.mark.parametrize("kind", ["timestamps", "scenes"])
def test_zarr(recordings: list[Path], model: Path, tmp_path: Path, kind: str) -> None:
    zarr = pytest.importorskip("zarr")
    for suffix in ("zarr", "npz"):
        out = tmp_path / f"out.{suffix}"
        embed_files(recordings[:5], out, model, timestamps=kind == "timestamps", workers=0, progress=False)
    group = zarr.open_group(str(tmp_path / "out.zarr"), mode="r")
    with np.load(tmp_path / "out.npz") as file:
        assert dict(group.attrs) == json.loads(str(file["info"]))
        assert set(group.array_keys()) == set(file.files) - {"info"}
        for name in group.array_keys():
            assert np.array_equal(group[name][:], file[name])
            assert group[name].dtype == file[name].dtype
