"""Whole runs of ``embed_files``: what is in the result, what goes on, what is refused."""

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pyarrow import parquet

import hear_audioformer
from hear_audioformer import audio
from hear_audioformer.bulk import decoding, embedding
from hear_audioformer.bulk.portions import Portion
from hear_audioformer.bulk.progress import Progress
from hear_audioformer.bulk.run import embed_files
from hear_audioformer.bulk.summary import Summary
from hear_audioformer.embedder import Embedder
from hear_audioformer.errors import StoreError
from tests.bulk.conftest import write_recordings


def run(inputs: Any, out: Path, model: Path, **options: Any) -> Summary:
    return embed_files(inputs, out, model, workers=0, progress=False, **options)


def table(out: Path) -> Any:
    return parquet.read_table(out)


def vectors(out: Path) -> np.ndarray:
    return np.stack(table(out)["embedding"].to_numpy())


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


class StopError(Exception):
    """A run ends here."""


def stop_after(portions: int, inputs: Any, out: Path, model: Path, **options: Any) -> None:
    """A run that ends after some portions are committed."""
    commits = []

    def done(self: Any, portion: Portion, seconds: float) -> None:
        commits.append(portion)
        if len(commits) == portions:
            raise StopError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hear_audioformer.bulk.portions.Portions.done", done)
        with pytest.raises(StopError):
            run(inputs, out, model, **options)


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


BAD = {
    "cut.wav": "truncated",
    "nan.wav": "NaN or infinite",
    "nothing.wav": "no samples",
    "silent.wav": "silence only",
    "text.flac": "",
    "zero.mp3": "",
    "song.wav": "",
}


def write_bad(folder: Path) -> None:
    """One of each that is bad or odd."""
    folder.mkdir(exist_ok=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(folder / "cut.wav", noise, 16000)
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[:8000])
    soundfile.write(folder / "nan.wav", np.where(np.arange(8000) == 7000, np.nan, noise), 16000, subtype="FLOAT")
    soundfile.write(folder / "nothing.wav", noise[:0], 16000)
    soundfile.write(folder / "silent.wav", 0 * noise, 16000)
    (folder / "text.flac").write_text("no sound")
    (folder / "zero.mp3").touch()
    (folder / "song.wav").write_bytes(b"\x89PNG\r\n" + bytes(1000))  # misnamed


def test_bad_files_stand_in_the_table_of_errors(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    write_bad(folder)
    os.symlink(tmp_path / "nowhere", folder / "link.wav")
    summary = run([folder, tmp_path / "gone.wav"], tmp_path / "out", model)
    assert (summary.rows, summary.missing, summary.total) == (42, 6, 48)
    assert summary.errors
    with open(summary.errors, newline="", encoding="utf-8") as file:
        errors = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert set(errors) == {*BAD, "gone.wav"}
    assert all(part in errors[name]["error"] for name, part in BAD.items())
    assert {name for name, row in errors.items() if row["has_row"] == "True"} == {"cut.wav", "silent.wav"}
    assert all(row["time"].startswith("20") for row in errors.values())


def test_odd_files_have_rows(model: Path, tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((19200, 6))
    kinds = {
        "8.wav": ("PCM_U8", 16000, 1),
        "24.flac": ("PCM_24", 44100, 2),
        "float.wav": ("FLOAT", 48000, 1),
        "double.wav": ("DOUBLE", 8000, 3),
        "192.wav": ("PCM_16", 192000, 2),
        "six.wav": ("PCM_16", 44100, 6),
    }
    for name, (subtype, rate, channels) in kinds.items():
        soundfile.write(tmp_path / name, noise[:, :channels], rate, subtype=subtype)
    summary = run([tmp_path / name for name in kinds], tmp_path / "out", model)
    assert (summary.rows, summary.errors) == (6, None)
    assert table(tmp_path / "out")["sample_rate"].to_pylist() == [rate for _, rate, _ in kinds.values()]


def test_failed_files_are_tried_again_by_append(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "out", tmp_path / "recordings"
    write_bad(folder)
    assert run(folder, out, model).missing == 5
    for name in ("text.flac", "nan.wav"):
        soundfile.write(folder / name, np.ones(8000) / 2, 16000)
    summary = run(folder, out, model, append=True)
    assert (summary.rows, summary.missing, summary.total) == (44, 3, 47)
    assert len(set(table(out)["path"].to_pylist())) == 44


def test_any_exception_is_that_file_s(
    recordings: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it comes from decoding, or from the model for a batch that holds the file."""
    scene = Embedder.scene
    length = soundfile.info(recordings[5]).frames

    def picky(self: Embedder, clips: Any) -> torch.Tensor:
        if any(len(clip) == length for clip in clips):
            raise RuntimeError("out of\nmemory")
        return scene(self, clips)

    monkeypatch.setattr(Embedder, "scene", picky)
    summary = run(recordings, tmp_path / "out", model)
    assert (summary.rows, summary.missing) == (39, 1)
    assert [(trouble.path, trouble.error) for trouble in summary.troubles] == [
        (str(recordings[5]), "RuntimeError: out of memory")
    ]


def test_a_bad_end_takes_all_rows_of_its_file_back(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long file that is streamed, rows were made before the fault was met."""
    monkeypatch.setattr(decoding, "LONG", 1.0)
    monkeypatch.setattr(embedding, "BATCH_SECONDS", 1.0)
    paths = write_recordings(tmp_path / "in", 3, 5.0)
    samples = audio.read(paths[1], 16000).numpy()
    samples[-100] = np.nan
    paths[1] = tmp_path / "in" / "1.wav"
    soundfile.write(paths[1], samples, 16000, subtype="FLOAT")
    for kind in ({"segment": 0.5}, {"timestamps": True}):
        out = tmp_path / f"out{next(iter(kind))}"
        summary = run(paths, out, model, **kind)
        assert summary.missing == 1
        assert set(table(out)["path"].to_pylist()) == {str(paths[0]), str(paths[2])}


def test_a_run_of_failures_leaves_nothing(model: Path, tmp_path: Path) -> None:
    write_bad(tmp_path / "in")
    bad = [tmp_path / "in" / name for name in ("text.flac", "zero.mp3")]
    for out in (tmp_path / "out", tmp_path / "out.npz"):
        summary = run(bad, out, model)
        assert (summary.rows, summary.missing) == (0, 2)
        assert not out.exists()
        soundfile.write(bad[0], np.ones(8000) / 2, 16000)
        assert run(bad, out, model).rows == 1
        bad[0].write_text("no sound")


def test_changed_files_are_named_and_keep_their_rows(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    """Fifty were touched between a stop and its sequel, and their rows were lost without a word."""
    out = tmp_path / "out"
    stop_after(1, recordings, out, model)
    before = vectors(out)
    for path in recordings[:25]:
        soundfile.write(path, np.ones(8000) / 2, 16000)
    summary = run(recordings, out, model)
    assert (summary.rows, summary.missing) == (40, 0)
    assert summary.changes == 25
    assert summary.changed[0] == str(recordings[0])
    assert np.array_equal(vectors(out)[: len(before)], before)


def test_a_file_replaced_while_it_is_embedded_counts_as_changed(
    recordings: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key is taken before it is decoded, so its row is known to be of what it was."""
    scene = Embedder.scene

    def late(self: Embedder, clips: Any) -> torch.Tensor:
        soundfile.write(recordings[3], np.ones(8000) / 2, 16000)
        return scene(self, clips)

    monkeypatch.setattr(Embedder, "scene", late)
    summary = run(recordings, tmp_path / "out", model)
    assert (summary.rows, summary.changed) == (40, [str(recordings[3])])


def test_files_that_vanish_are_errors_of_theirs(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_after(1, recordings, out, model)
    recordings[0].unlink()
    recordings[39].unlink()
    summary = run(recordings, out, model)
    assert (summary.rows, summary.missing, summary.changes) == (39, 1, 0)
    assert summary.troubles[0].path == str(recordings[39])


def test_a_damaged_note_of_the_run(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_after(1, recordings, out, model)
    (out / "_run" / "run.json").write_text("")
    with pytest.raises(StoreError, match="begin anew with --overwrite"):
        run(recordings, out, model)
    assert run(recordings, out, model, overwrite=True).rows == 40


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
