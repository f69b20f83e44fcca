"""The README's table of models is the command's, but for speeds; the picture ranks what sounds alike."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from evaluation.reports import models, neighbours

ROOT = Path(__file__).parents[3]
SPEED = models.SPEED


def without_speed(row: list[str]) -> list[str]:
    return [cell for place, cell in enumerate(row) if place != SPEED]


def test_the_readme_has_the_table_as_it_is_now() -> None:
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ")]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [without_speed(row) for row in shown] == [
        without_speed(row) for row in [list(models.HEADS), *models.rows(0, models.RESULTS)]
    ]
    assert all(float(row[SPEED]) > 0 for row in shown[1:])


def test_speeds_are_written_where_the_list_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    before = json.loads((ROOT / "weights" / "index.json").read_text())
    path.write_text(json.dumps(before))
    row = ["[`asit-tiny`](weights/asit-tiny.md)", *["-"] * (len(models.HEADS) - 1)]
    row[SPEED] = "123.4"
    models.write_speeds(path, [row, ["log-mel statistics", *row[1:]]])
    after = json.loads(path.read_text())
    assert after["models"]["asit-tiny"]["about"].pop("clips_a_second") == 123.4
    before["models"]["asit-tiny"]["about"].pop("clips_a_second")
    assert after == before


def test_neighbours_are_those_that_sound_alike(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    generator = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    (tmp_path / "sounds").mkdir()
    for number in range(6):
        tone = np.sin(2 * np.pi * (400 + 20 * number) * time)
        noise = generator.standard_normal(16000) * 0.3
        soundfile.write(tmp_path / "sounds" / f"tone{number}.wav", 0.3 * tone, 16000)
        soundfile.write(tmp_path / "sounds" / f"noise{number}.wav", 0.3 * noise, 16000)
    out = tmp_path / "picture.png"
    recording = tmp_path / "sounds" / "tone2.wav"
    command = [str(recording), str(tmp_path / "sounds"), "-o", str(out), "--model", "asit-tiny"]
    result = CliRunner().invoke(neighbours.main, command)
    assert result.exit_code == 0, result.output
    nearest = [line.split()[1] for line in result.output.splitlines()]
    assert len(nearest) == neighbours.SHOWN
    assert all(name.startswith("tone") and name != "tone2.wav" for name in nearest)
    assert out.stat().st_size > 10_000
    assert out.read_bytes()[25] == 3  # PNG's sign for a palette: the README's picture loads with each visit
