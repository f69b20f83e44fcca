"""The worker in datasets.map and Spark's mapInPandas."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from hear_audioformer import audio, load_model
from hear_audioformer.bulk.mapping import EmbedPaths


@pytest.fixture
def paths(recordings: list[Path], tmp_path: Path) -> list[str]:
    """Three good files and a missing one between them."""
    return [*map(str, recordings[:2]), str(tmp_path / "gone.wav"), str(recordings[2])]


def expected(model: Path, path: str) -> np.ndarray:
    return load_model(model).scene(audio.read(path, 16000)[None])[0].numpy()


def test_a_batch_of_columns(paths: list[str], model: Path) -> None:
    table = EmbedPaths(str(model))({"path": paths})
    assert table["path"] == paths
    assert table["error"] == ["", "", "no such file", ""]
    assert table["embedding"][2] is None
    for row in (0, 1, 3):
        assert np.abs(table["embedding"][row] - expected(model, paths[row])).max() < 1e-5


def test_segments_make_more_rows(paths: list[str], model: Path) -> None:
    table = EmbedPaths(str(model), segment=0.1, column="file")({"file": paths[:1]})
    assert len(table["path"]) == len(table["offset"]) > 1
    assert table["offset"][1] == pytest.approx(0.1)


def test_datasets(paths: list[str], model: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"path": paths, "label": [1, 2, 3, 4]})
    found = data.map(EmbedPaths(str(model)), batched=True, batch_size=2, remove_columns=data.column_names)
    assert found["path"][:] == paths
    assert np.abs(np.array(found[3]["embedding"]) - expected(model, paths[3])).max() < 1e-5
    assert found[2]["error"] == "no such file"


def test_pandas_as_spark_hands_it_over(paths: list[str], model: Path) -> None:
    pandas = pytest.importorskip("pandas")
    work = pickle.loads(pickle.dumps(EmbedPaths(str(model)))).in_pandas
    frames = list(work(iter([pandas.DataFrame({"path": paths[:3]}), pandas.DataFrame({"path": paths[3:]})])))
    assert [len(frame) for frame in frames] == [3, 1]
    assert np.abs(frames[1].embedding[0] - expected(model, paths[3])).max() < 1e-5
    assert set(frames[0].columns) == {field.split()[0] for field in EmbedPaths.SPARK.split(", ")}


def test_spark(paths: list[str], model: Path) -> None:
    sql = pytest.importorskip("pyspark.sql")
    session = sql.SparkSession.builder.master("local[1]").getOrCreate()
    frame = session.createDataFrame([(path,) for path in paths], "path string")
    rows = frame.mapInPandas(EmbedPaths(str(model)).in_pandas, EmbedPaths.SPARK).collect()
    assert sorted(row.path for row in rows) == sorted(paths)
    assert [row.error for row in rows if row.embedding is None] == ["no such file"]
    session.stop()
