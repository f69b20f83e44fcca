"""Recordings of one's own: folders and tables, what is kept out of them, and the fingerprint of what is left."""

from pathlib import Path

import pytest
import soundfile

from corpora.sources import licence_names
from tests.corpora.archive import archive, corpus_json, manifest, run, sound


def test_what_prints_know_is_kept_out(tmp_path: Path) -> None:
    """By hash, and by print where the level differs; a file of prints is made of any recordings."""
    folder, out = tmp_path / "evaluation", tmp_path / "out"
    folder.mkdir()
    soundfile.write(folder / "same.wav", sound(0), 16000)
    soundfile.write(folder / "louder.wav", 1.3 * sound(1), 16000)
    result = run(tmp_path / "work", "--from", folder, "--write-prints", tmp_path / "prints.csv")
    assert result.exit_code == 0, result.output
    words = ("--mirror", archive(tmp_path / "mirror"), "--package", "speech")
    assert run(out, *words, "--exclude-prints", tmp_path / "prints.csv").exit_code == 0
    assert [Path(row["path"]).name for row in manifest(out)] == ["2.wav"]
    assert corpus_json(out)["dropped"] == {"evaluation": 2}
    result = run(out, *words)
    assert result.exit_code == 2
    assert "holds another corpus" in result.output


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "my recordings"
    (folder / "deep").mkdir(parents=True)
    for i, name in enumerate(["a.wav", "deep/b.flac", "deep/c.mp3", "deep/copy.wav"]):
        soundfile.write(folder / name, sound(i % 3, rate=44100), 44100)
    (folder / "LICENSE.txt").write_text("mine")
    (folder / "broken.wav").write_text("no sound")
    result = run(tmp_path / "out", "--from", folder)
    assert result.exit_code == 1
    assert "my_recordings: broken.wav: " in result.output
    assert {row["path"] for row in manifest(tmp_path / "out")} == {"a.wav", "deep/b.flac", "deep/c.mp3"}
    assert {row["kind"] for row in manifest(tmp_path / "out")} == {"other"}
    assert (tmp_path / "out" / "licences" / "my_recordings" / "LICENSE.txt").read_text() == "mine"


@pytest.mark.parametrize("column", ["path", "file_name"])
def test_a_table_of_ones_own(tmp_path: Path, column: str) -> None:
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", sound(i), 16000)
    table = tmp_path / "mine.csv"
    table.write_text(f"{column},kind,label\n0.wav,speech,yes\n{tmp_path / '1.wav'},,\nmissing.wav,,\n")
    result = run(tmp_path / "out", "--from", table)
    assert result.exit_code == 1
    assert "mine: missing.wav: is no file" in result.output
    rows = {row["path"]: row for row in manifest(tmp_path / "out")}
    assert {(name, row["kind"], row["labels"]) for name, row in rows.items()} == {
        ("0.wav", "speech", '{"label": "yes"}'), ("1.wav", "other", ""),
    }  # fmt: skip
    (tmp_path / "bad.csv").write_text("name\nx\n")
    assert run(tmp_path / "else", "--from", tmp_path / "bad.csv").exit_code == 2


def test_the_fingerprint_is_that_of_the_clips(tmp_path: Path) -> None:
    """Not of their names, their order, the shards or how often they come."""
    prints = []
    for name, order in (("one", [0, 1, 2]), ("two", [2, 0, 1, 0])):
        (tmp_path / name).mkdir()
        for i, seed in enumerate(order):
            soundfile.write(tmp_path / name / f"{i}.wav", sound(seed), 16000)
        assert run(tmp_path / f"{name}.out", "--from", tmp_path / name).exit_code == 0
        prints.append(corpus_json(tmp_path / f"{name}.out")["fingerprint"])
    assert prints[0] == prints[1]


def test_licence_names() -> None:
    assert licence_names(["License: GPL-2+\nx\nLicense: CC0-1.0\n the MIT text"]) == "CC0-1.0; GPL-2+"
    assert licence_names(["under the GNU Lesser General Public License"]) == "LGPL"
    found = licence_names(["the GNU General Public License; CC-BY-SA 3.0", "Public domain"])
    assert found == "CC-BY-SA; GPL; public domain"
    assert licence_names(["Redistribution and use in source and binary forms, with or"]) == "BSD"
    assert licence_names([]) == ""
