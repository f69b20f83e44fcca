"""Pictures: what they compute, that they are drawn, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from hear_audioformer.cli import main
from hear_audioformer.commands import plot as command
from hear_audioformer.errors import AudioError, InputError, StoreError
from hear_audioformer.projection import METHODS, principal, project
from hear_audioformer.table import open_table
from tests.conftest import small_encoder, write_model
from tests.tables import blobs, write_part

pytest.importorskip("matplotlib")
pytest.importorskip("pyarrow")

from hear_audioformer.plot import look, sound
from hear_audioformer.plot.map import values_of
from hear_audioformer.plot.moments import moments_of
from hear_audioformer.plot.sound import spectrogram_of
from hear_audioformer.plot.timeline import colours, novelty, peaks


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(write_model(small_encoder("msm-mae"), "msm-mae", folder / "small.safetensors"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a 1-kHz tone, then a second of noise, at 44.1 kHz."""
    path = tmp_path_factory.mktemp("sound") / "tone.wav"
    time = np.arange(44100) / 44100
    noise = 0.1 * np.random.default_rng(0).standard_normal(44100)
    soundfile.write(path, np.concatenate([0.3 * np.sin(2 * np.pi * 1000 * time), noise]), 44100)
    return path


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(write_part(tmp_path / "table", blobs(60, 3, spread=0.1)[0]))


def picture(path: Path) -> bool:
    """Whether a file is a PNG with a picture in it."""
    from matplotlib.image import imread

    return path.read_bytes()[:4] == b"\x89PNG" and float(imread(path)[..., :3].std()) > 0.01


def test_a_tone_is_at_its_pitch(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = spectrogram_of(recording)
    assert shown.seconds == pytest.approx(2.0)
    assert "40 kHz" in shown.detail
    assert (np.diff(shown.hertz) >= 0).all()
    assert shown.hertz[shown.levels[:, 20:80].mean(1).argmax()] == pytest.approx(1000, rel=0.05)
    monkeypatch.setattr(sound, "COLUMNS", 50)
    monkeypatch.setattr(sound, "FRAMES", 24)
    few = spectrogram_of(recording)
    assert few.levels.shape == (128, 41)  # 201 frames, five a column
    energies = np.exp(shown.levels.astype(np.float64))
    assert np.allclose(np.exp(few.levels[:, 3]), energies[:, 15:20].mean(1), rtol=1e-3)


def test_novelty_peaks_where_sections_meet() -> None:
    units = np.repeat(np.eye(3), (20, 30, 25), axis=0)
    curve = novelty(units, 8)
    assert curve.shape == (75,)
    assert peaks(curve) == [20, 50]
    assert curve[10] == pytest.approx(0, abs=1e-9)


def test_equal_moments_have_equal_colours() -> None:
    units = np.repeat(np.eye(4, dtype=np.float32), (5, 5, 5, 5), axis=0)
    found = colours(units)
    assert found.shape == (20, 3)
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.allclose(found[:5], found[0], atol=1e-5)
    assert np.abs(found[0] - found[5]).max() > 0.1


def test_moments_tell_a_change(recording: Path, model: str) -> None:
    moments = moments_of(recording, model)
    similar = moments.units @ moments.units.T
    assert similar[5, 10] > 0.2 > similar[5, 30]


@pytest.mark.parametrize("rows", [100, 5])
def test_principal_components_are_numpys(rows: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    centred = vectors - vectors.mean(0)
    _, values, _ = np.linalg.svd(centred, full_matrices=False)
    points = principal(vectors, 2)
    assert np.allclose(np.linalg.norm(points, axis=0), values[:2], rtol=1e-4)
    assert principal(vectors[:2], 3).shape == (2, 3)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_keeps_groups_together(table: str, method: str) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    owners = blobs(60, 3)[1]
    found = project(table, method)
    assert found.method == method
    middles = np.stack([found.points[owners == group].mean(0) for group in range(3)])
    nearest = np.linalg.norm(found.points[:, None] - middles, axis=2).argmin(1)
    assert (nearest == owners).mean() > 0.95


def test_a_large_table_is_sampled(table: str) -> None:
    found = project(table, "pca", most=20)
    assert len(found.points) == len(found.rows) == 20
    assert found.rows.max() < 60


def test_values_are_found_by_path_and_offset(table: str, tmp_path: Path) -> None:
    places = open_table(table).places(range(60))
    assert set(values_of(places, "folder")) == {"sounds"}
    values = tmp_path / "values.csv"
    values.write_text("path,offset,kind\nsounds/0003.flac,0.0,bell\nsounds/0004.flac,5.0,horn\n")
    found = values_of(places, "kind", values)
    assert found[3] == "bell"
    assert found[4] == ""
    values.write_text("path,kind\nsounds/0004.flac,horn\n")
    assert values_of(places, "kind", values)[4] == "horn"
    for text, message in {"path,x\n": "no column kind", "path,kind\nother.flac,x\n": "none of the recordings"}.items():
        values.write_text(text)
        with pytest.raises(InputError, match=message):
            values_of(places, "kind", values)
    with pytest.raises(InputError, match="name its table with --csv"):
        values_of(places, "kind")


@pytest.mark.parametrize("kind", ["spectrogram", "similarity", "timeline"])
def test_pictures_of_a_recording(recording: Path, model: str, tmp_path: Path, kind: str) -> None:
    for name in ("a.png", "a.svg"):
        shown = CliRunner().invoke(main, ["plot", kind, str(recording), "--model", model, "-o", str(tmp_path / name)])
        assert shown.exit_code == 0, shown.output
    assert picture(tmp_path / "a.png")
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_pictures_of_a_table(table: str, tmp_path: Path) -> None:
    values = tmp_path / "values.csv"
    lines = [f"sounds/{row:04}.flac,{row / 7},{'ab'[row % 2]}" for row in range(50)]
    values.write_text("\n".join(["path,number,letter", *lines]))
    for options in ([], ["--color", "number", "--csv", str(values)], ["--color", "letter", "--csv", str(values)]):
        arguments = ["plot", "map", table, "--method", "pca", "-o", str(tmp_path / "map.png"), "--overwrite"]
        shown = CliRunner().invoke(main, [*arguments, *options])
        assert shown.exit_code == 0, shown.output
        assert picture(tmp_path / "map.png")


def test_what_cannot_be_drawn_is_refused(
    recording: Path, model: str, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.METHODS == METHODS
    soundfile.write(tmp_path / "short.wav", np.ones(1000) * 0.1, 16000)
    with pytest.raises(AudioError, match=r"a picture needs 0\.15 s"):
        moments_of(tmp_path / "short.wav", model)
    few = write_part(tmp_path / "few", np.eye(2))
    with pytest.raises(ValueError, match="a map needs three"):
        project(few)
    for arguments, message in {
        ("spectrogram", str(recording), "-o", "a.gif"): "must end in .png or .svg or .pdf",
        ("map", table, "-o", "a.png", "--csv", "x.csv"): "--csv needs --color",
        ("spectrogram", str(recording), "-o", str(recording.with_suffix(".png")), "--model", "gone"): "no file and no",
    }.items():
        refused = CliRunner().invoke(main, ["plot", *arguments])
        assert refused.exit_code == 2
        assert message in refused.stderr
    monkeypatch.setattr("hear_audioformer.projection.find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"hear_audioformer\[map\]"):
        project(table, "umap")
    monkeypatch.setattr(look, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"hear_audioformer\[plot\]"):
        look.new_figure(1, 1)
