"""Whole runs of ``embed_files``: what is in the result, what goes on, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_audioformer
from hear_audioformer import audio
from hear_audioformer.bulk import decoding, embedding
from hear_audioformer.bulk.progress import Progress
from hear_audioformer.embedder import Embedder
from hear_audioformer.errors import StoreError
from tests.bulk.conftest import run, stop_after, table, vectors, write_recordings


def test_rows_stand_in_the_order_of_the_files(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    summary = run(tmp_path / "recordings", tmp_path / "out", model)
    assert (summary.rows, summary.files, summary.total, summary.errors) == (40, 40, 40, None)
    found = table(tmp_path / "out")
    assert found["path"].to_pylist() == list(map(str, recordings))
    lengths = [soundfile.info(path).frames / 16000 for path in recordings]
    assert found["seconds"].to_pylist() == lengths
    assert set(found["offset"].to_pylist()) == {0.0}
    assert set(found["sample_rate"].to_pylist()) == {16000}
    facts = json.loads(found.schema.metadata[b"hear_audioformer"])
    loaded = hear_audioformer.load_model(model)
    assert facts["sha256"] == hear_audioformer.checkpoint.read_header(model).sha256
    assert facts["version"] == hear_audioformer.__version__
    assert facts["source"] == str(model)
    for path, vector in zip(recordings, vectors(tmp_path / "out"), strict=True):
        assert np.abs(loaded.scene(audio.read(path, 16000)[None])[0].numpy() - vector).max() < 1e-5


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_one_file_holds_the_same_as_the_folder(
    recordings: list[Path], model: Path, tmp_path: Path, suffix: str
) -> None:
    run(recordings, tmp_path / "out", model)
    run(recordings, tmp_path / f"out.{suffix}", model)
    assert not (tmp_path / f"out.{suffix}.part").exists()
    if suffix == "parquet":
        assert table(tmp_path / "out.parquet").equals(table(tmp_path / "out"))
        return
    with np.load(tmp_path / "out.npz") as found:
        assert found["paths"].tolist() == list(map(str, recordings))
        assert np.array_equal(found["embeddings"], vectors(tmp_path / "out"))
        assert found["seconds"].tolist() == table(tmp_path / "out")["seconds"].to_pylist()
        assert json.loads(str(found["info"]))["kind"] == "scenes"


def test_segments_are_stretches_of_a_recording(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a recording so long that it is never in memory as a whole."""
    paths = write_recordings(tmp_path / "in", 3, 5.0)
    loaded = hear_audioformer.load_model(model)
    run(paths, tmp_path / "short", model, segment=0.7)
    monkeypatch.setattr(decoding, "LONG", 1.0)
    monkeypatch.setattr(embedding, "BATCH_SECONDS", 1.5)
    run(paths, tmp_path / "long", model, segment=0.7)
    for out in ("short", "long"):
        found, row = table(tmp_path / out), 0
        for path in paths:
            for start, part in enumerate(audio.read(path, 16000).split(11200)):
                assert found["path"][row].as_py() == str(path)
                assert found["offset"][row].as_py() == start * 11200 / 16000
                assert found["seconds"][row].as_py() == len(part) / 16000
                expected = loaded.scene(part[None])[0].numpy()
                assert np.abs(np.array(found["embedding"][row].as_py()) - expected).max() < 1e-5
                row += 1
        assert row == len(found)


def test_long_recordings_equal_short_ones(
    method: str, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_recordings(tmp_path / "in", 2, 4.0)
    for kind in ({}, {"timestamps": True}):
        run(paths, tmp_path / f"short{len(kind)}", model_file, **kind)
    monkeypatch.setattr(decoding, "LONG", 1.0)
    for kind in ({}, {"timestamps": True}):
        run(paths, tmp_path / f"long{len(kind)}", model_file, **kind)
        short, long = tmp_path / f"short{len(kind)}", tmp_path / f"long{len(kind)}"
        assert np.abs(vectors(short) - vectors(long)).max() < 1e-5
        for name in ("path", "offset", "seconds", "sample_rate"):
            assert table(short)[name].to_pylist() == table(long)[name].to_pylist()


def test_float16(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    run(recordings, tmp_path / "full", model)
    run(recordings, tmp_path / "half", model, dtype="float16")
    half = vectors(tmp_path / "half")
    assert half.dtype == np.float16
    assert np.array_equal(half, vectors(tmp_path / "full").astype(np.float16))


def test_neighbours_and_restarts_do_not_change_a_bit(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    """Tasks are cut by the list alone, so a run that went on has the batches of one that did not."""
    run(recordings, tmp_path / "once", model)
    stop_after(1, recordings, tmp_path / "twice", model)
    summary = run(recordings, tmp_path / "twice", model)
    assert summary.rows == 40
    assert table(tmp_path / "once").equals(table(tmp_path / "twice"))


def test_a_run_that_goes_on_computes_what_is_left(
    recordings: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(1, recordings, tmp_path / "out", model)
    computed = []
    scene = Embedder.scene

    def counting(self: Embedder, clips: Any) -> torch.Tensor:
        computed.append(len(clips))
        return scene(self, clips)

    monkeypatch.setattr(Embedder, "scene", counting)
    assert run(recordings, tmp_path / "out", model).rows == 40
    assert computed == [8]


def test_another_model_or_other_options_are_refused(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    stop_after(1, recordings, tmp_path / "out", model)
    with pytest.raises(StoreError, match=r"precision fp32 then, bf16 now.*begin anew with --overwrite"):
        run(recordings, tmp_path / "out", model, precision="bf16")
    with pytest.raises(StoreError, match="dtype float32 then, float16 now"):
        run(recordings, tmp_path / "out", model, dtype="float16")
    assert run(recordings, tmp_path / "out", model, precision="bf16", overwrite=True).rows == 40
    facts = json.loads(table(tmp_path / "out").schema.metadata[b"hear_audioformer"])
    assert facts["precision"] == "bf16"


def test_a_moved_weight_file_is_the_same_model(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    stop_after(1, recordings, tmp_path / "out", model)
    shutil.copy(model, tmp_path / model.name)
    assert run(recordings, tmp_path / "out", tmp_path / model.name).rows == 40


def test_other_inputs_are_refused_and_added_on_demand(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_after(1, recordings[:35], out, model)
    with pytest.raises(StoreError, match="begun with other inputs"):
        run(recordings, out, model)
    assert run(recordings, out, model, append=True).rows == 40
    with pytest.raises(StoreError, match="is complete; --append adds files to it"):
        run(recordings, out, model)


def test_new_files_of_a_folder_are_added_without_the_rest(
    recordings: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, folder = tmp_path / "out", tmp_path / "recordings"
    run(folder, out, model)
    before = table(out)
    more = write_recordings(tmp_path / "more", 3, seed=1)
    for path in more:
        shutil.copy(path, folder / f"0{path.name}")  # in the middle of the folder's order
    computed = []
    scene = Embedder.scene
    monkeypatch.setattr(Embedder, "scene", lambda self, clips: computed.append(len(clips)) or scene(self, clips))
    summary = run(folder, out, model, append=True)
    assert computed == [3]
    assert (summary.rows, summary.total) == (43, 43)
    assert table(out).slice(0, 40).equals(before)
    assert run(folder, out, model, append=True).rows == 43


def test_overwriting_goes_on_too(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    """The command that was stopped is given again as it was, with --overwrite in it."""
    out = tmp_path / "out"
    run(recordings, out, model)
    stop_after(1, recordings, out, model, overwrite=True)
    assert len(list(out.glob("*.parquet"))) == 1
    kept = next(out.glob("*.parquet"))
    stamp = kept.stat().st_mtime_ns
    assert run(recordings, out, model, overwrite=True).rows == 40
    assert kept.stat().st_mtime_ns == stamp


def test_places_that_cannot_be_written(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    with pytest.raises(StoreError, match="cannot write: Not a directory"):
        run(recordings, tmp_path / "file" / "out", model)
    with pytest.raises(StoreError, match="exists and is no result of embed"):
        run(recordings, tmp_path / "full", model)
    with pytest.raises(StoreError, match="exists and is no result of embed"):
        run(recordings, tmp_path / "full", model, overwrite=True)
    with pytest.raises(StoreError, match="name a folder, such as out/"):
        run(recordings, tmp_path / "out.csv", model)


def test_a_disk_too_small_is_refused_before_the_work(
    recordings: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hear_audioformer.bulk.run.shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 100)
    )
    with pytest.raises(StoreError, match="GB are free there: make room"):
        run(recordings, tmp_path / "out", model)


def test_options_that_contradict_each_other(model: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"timestamps": True, "segment": 1.0}, "two tables"),
        ({"segment": 0.0}, "number of seconds above 0"),
        ({"dtype": "int8"}, "float32, float16"),
        ({"hop_ms": 20}, "ask for timestamps"),
        ({"pool": "mean", "timestamps": True}, "leave it out"),
        ({"engine": "dask"}, "local, ray"),
    ):
        with pytest.raises(ValueError, match=message):
            run("a.wav", tmp_path / "out", model, **options)
        assert not (tmp_path / "out").exists()


def test_shares_of_the_files_for_machines_that_share_nothing(
    recordings: list[Path], model: Path, tmp_path: Path
) -> None:
    for share in ("1/3", "2/3", "3/3"):
        run(tmp_path / "recordings", tmp_path / share[0], model, shard=share)
    found = [table(tmp_path / name)["path"].to_pylist() for name in "123"]
    assert min(map(len, found)) > 5
    assert sorted(path for some in found for path in some) == list(map(str, recordings))
    for wrong in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(ValueError, match="of the form I/N"):
            run(tmp_path / "recordings", tmp_path / "out", model, shard=wrong)


def test_long_files_show_progress(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LONG", 1.0)
    paths = write_recordings(tmp_path / "in", 1, 20.0)
    seen = []
    share = Progress.share
    monkeypatch.setattr(Progress, "tick", lambda self: seen.append(share(self)))
    run(paths, tmp_path / "out", model)
    assert len({round(value, 3) for value in seen}) > 3
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
