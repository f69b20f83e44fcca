"""What the page shows, without Gradio: limits, pictures, neighbours, the map, tables that are made on demand."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from hear_audioformer.cli import main
from hear_audioformer.demo import views
from hear_audioformer.demo.cards import cards, status
from hear_audioformer.demo.folder import Folder
from hear_audioformer.demo.shelf import Lines, Shelf
from hear_audioformer.demo.sound import AROUND, Limits, checked, flac, stretch
from hear_audioformer.errors import AudioError, InputError
from hear_audioformer.table import Place
from tests.demo.conftest import Home


def write_ramp(path: Path, seconds: float, channels: int = 1) -> Path:
    """A recording whose samples say where they are: from 0 to 0.5."""
    ramp = np.linspace(0, 0.5, round(seconds * 8000), dtype=np.float32)
    soundfile.write(path, np.stack([ramp] * channels, 1), 8000)
    return path


def test_what_is_too_large_is_refused_in_words(tmp_path: Path) -> None:
    sound = write_ramp(tmp_path / "long.wav", 6)
    assert checked(sound, Limits()) == pytest.approx(6)
    with pytest.raises(AudioError, match=r"^long.wav: is too long, 0.1 min; .* up to 0.05 min and 100 MB"):
        checked(sound, Limits(minutes=0.05))
    with pytest.raises(AudioError, match=r"^long.wav: is too large, 0.1 MB; .* \(--max-mb\)"):
        checked(sound, Limits(megabytes=0.05))
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"text\.wav"):
        checked(tmp_path / "text.wav", Limits())


def test_a_player_holds_the_stretch_of_its_row(tmp_path: Path) -> None:
    sound = write_ramp(tmp_path / "ramp.wav", 10, channels=2)
    samples, rate = soundfile.read(io.BytesIO(flac(str(sound), 4.0, 2.0)))
    assert rate == 8000
    assert samples.shape == (16000,)
    assert np.allclose(samples[[0, -1]], [0.2, 0.3], atol=1e-3)
    with pytest.raises(AudioError, match=r"gone\.wav"):
        flac(str(tmp_path / "gone.wav"), 0, 1)


def test_a_frame_is_played_with_what_is_around_it() -> None:
    assert stretch(Place("a.wav", 7.0, 0.04), "timestamps") == (7.0 - AROUND / 2, AROUND)
    assert stretch(Place("a.wav", 0.1, 0.04), "timestamps") == (0.0, AROUND)
    assert stretch(Place("a.wav", 30.0, 10.0), "segments") == (30.0, 10.0)
    assert stretch(Place("a.wav", 0.0, 600.0), "scenes") == (0.0, 10.0)


def test_pictures_of_a_sound(home: Home) -> None:
    folder = Folder(home.tables[0])
    for picture in (views.spectrogram(home.sound(3)), views.similarity(folder, home.sound(3), 1.0)):
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert not np.array_equal(
        views.similarity(folder, home.sound(3), 1.0), views.similarity(folder, home.sound(4), 1.0)
    )


def test_a_sound_of_the_folder_finds_itself_by_either_model(home: Home) -> None:
    found = []
    for table in home.tables:
        folder = Folder(table)
        found.append(views.nearest(folder, folder.hear(home.sound(7)), 4))
        assert found[-1][0].path == str(home.sound(7))
        assert found[-1][0].score > 0.99
        assert [one.rank for one in found[-1]] == [1, 2, 3, 4]
        played, _ = soundfile.read(io.BytesIO(found[-1][0].sound))
        assert len(played) == soundfile.info(home.sound(7)).frames
    assert str(home.sound(7)) in views.in_common(*found)
    assert views.in_common(found[0], []) == set()


def test_a_recording_that_is_gone_has_no_player(home: Home, tmp_path: Path) -> None:
    shutil.copytree(home.sounds, tmp_path / "in")
    table = tmp_path / "table"
    shelf = Shelf.of_recordings(str(tmp_path / "in"), [str(home.models[0])], table)
    shelf.embed(lambda line: None, workers=0)
    (tmp_path / "in" / "0002.flac").unlink()
    one = views.neighbour(shelf.folders[0], 2)
    assert one.sound == b""
    assert "0002.flac" in one.problem
    assert "<audio" not in cards([one])


def test_the_map_says_which_point_is_clicked(home: Home) -> None:
    folder = Folder(home.tables[0], values=str(home.labels))
    assert folder.columns == ["folder", "cluster", "seconds", "parity"]
    assert folder.values("parity", [0, 1, 2]) == ["even", "odd", "even"]
    assert len(set(folder.values("cluster", range(12)))) > 1
    plain = views.map_picture(folder, "parity", "pca")
    height, width, _ = plain.pixels.shape
    assert (plain.places > 0).all()
    assert (plain.places < (width, height)).all()
    for row, (column, line) in zip(plain.rows, plain.places, strict=True):
        assert plain.row_at(column, line) == row
        around = plain.pixels[round(line) - 1 : round(line) + 2, round(column) - 1 : round(column) + 2]
        assert (around.astype(int).sum(-1) < 700).any(), "there is no point"
    marked = views.map_picture(folder, "parity", "pca", [5])
    assert not np.array_equal(plain.pixels, marked.pixels)
    with pytest.raises(InputError, match="colour is no column"):
        folder.values("colour", [0])


def test_a_folder_is_embedded_once(home: Home, tmp_path: Path) -> None:
    names = [str(model) for model in home.models]
    shelf = Shelf.of_recordings(str(home.sounds), names, tmp_path / "tables")
    assert not shelf.folders
    assert shelf.missing == names
    lines: list[str] = []
    shelf.embed(lines.append, workers=0)
    assert [len(folder.table) for folder in shelf.folders] == [12, 12]
    assert any("12 of 12 files" in line for line in lines)
    again = Shelf.of_recordings(str(home.sounds), names, tmp_path / "tables")
    assert len(again.folders) == 2
    assert again.missing == []


def test_lines_of_a_terminal_are_plain() -> None:
    lines: list[str] = []
    stream = Lines(lines.append)
    stream.write("\r\033[K12 of 30 files")
    stream.write("\n")
    assert lines == ["12 of 30 files"]


def test_html_is_escaped(home: Home) -> None:
    one = views.Neighbour(1, 0.5, 0, "a/<script>.wav", 0.0, 1.0, b"sound")
    assert "<script>" not in cards([one])
    assert "common" in cards([one], {one.path})
    assert "<b>" not in status("<b>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one or two TABLES"),
        (["a", "--folder", "b"], "name one or two TABLES"),
        (["a", "b", "c"], "two|Gradio|2 side by side"),
        (["--folder", "no-such-folder"], "no such folder|Gradio"),
        (["no-such-table"], "no such table|Gradio"),
    ],
)
def test_the_command_refuses_what_it_cannot_show(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["demo", *arguments])
    assert result.exit_code == 2
    assert any(part in result.output for part in message.split("|")), result.output


def test_a_csv_without_paths_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\na,b\n")
    with pytest.raises(InputError, match="has no column path; it has file, label"):
        Folder(home.tables[0], values=str(tmp_path / "labels.csv"))
    with pytest.raises(InputError, match="2 side by side"):
        Shelf.of_tables(["a", "b", "c"])
    with pytest.raises(InputError, match="once for each"):
        Shelf.of_tables([str(home.tables[0])], ["a", "b"])
