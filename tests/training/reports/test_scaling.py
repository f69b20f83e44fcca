"""The page of core hours against scores: its rows follow the points, and gains are of paired draws."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from evaluation import probe
from evaluation.scoring.embeddings import Model
from tests.evaluation import stand_in, toy
from training.reports import scaling

POINTS = """
about: hours of one core
curves:
  Toy:
    - {hours: 0, crops: 0, result: stand_in/default/toys.json, what: untrained}
    - {hours: 0.5, crops: 16000, result: stand_in/twice/toys.json, what: half an hour}
"""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("scaling")
    toy.tones(base / "toys" / "tasks", "tones")
    for options in ({}, {"scale": 2.0}):
        probe.run(base / "toys" / "tasks", Model(stand_in.__name__, options=options), base / "out", command="probe")
    return base


def test_a_row_a_point_with_its_gain(scored: Path) -> None:
    files = sorted((scored / "out").glob("*/*/*.json"))
    assert len(files) == 2
    text = POINTS
    for old, file in zip(("stand_in/default/toys.json", "stand_in/twice/toys.json"), files, strict=True):
        text = text.replace(old, str(file.relative_to(scored / "out")))
    (scored / "points.yaml").write_text(text)
    arguments = [str(scored / "points.yaml"), str(scored / "out"), str(scored / "scaling.md")]
    done = CliRunner().invoke(scaling.main, arguments)
    assert done.exit_code == 0, done.output
    page = (scored / "scaling.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith(("| untrained", "| half"))]
    assert [row[1].strip() for row in rows] == ["0.0", "0.5"]
    assert rows[1][2].strip() == "16,000"
    assert not rows[0][5].strip()
    assert rows[1][5].strip().startswith("0.0 (")  # the scale of embeddings is nothing to the head
    assert (scored / "scaling.png").stat().st_size > 1000


def test_missing_results_are_one_line(scored: Path) -> None:
    (scored / "missing.yaml").write_text(POINTS.replace("stand_in/default", "none"))
    arguments = [str(scored / "missing.yaml"), str(scored / "out"), str(scored / "none.md")]
    done = CliRunner().invoke(scaling.main, arguments)
    assert done.exit_code == 1
    assert "none/toys.json" in done.output
    assert not (scored / "none.md").exists()
