"""Files that cannot be read, change or vanish: errors of theirs, never the end of a run."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from hear_audioformer import audio
from hear_audioformer.bulk import decoding, embedding
from hear_audioformer.embedder import Embedder
from hear_audioformer.errors import StoreError
from tests.bulk.conftest import run, stop_after, table, vectors, write_recordings

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
