"""Design studies: the shipped rows are runs that can be typed, and the page says what was found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import training
from training.pretrain import build
from training.recipe import read_recipe
from training.reports import study
from training.reports.study import Row, Study

STUDIES = sorted((Path(training.__file__).parent / "reports" / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_row_of_a_shipped_study_builds(path: Path) -> None:
    rows = Study.read(path)
    for row in study.rows_of(rows, Path("out")):
        build(read_recipe(rows.recipe, row.changes))


def small(rows: dict[str, list[str]], **options: Any) -> Study:
    return Study(recipe="msm-mae-open", until=7, page="page.md", pool="mean+std", rows=rows, **options)


def result(value: float) -> dict[str, Any]:
    entry = {"value": value, "low": value - 0.1, "high": value + 0.1, "error": 0.05, "degrees": 9}
    return {"tasks": {"dev_word": entry, "dev_drum": {**entry, "value": value + 0.2}}}


def test_the_page_holds_scores_costs_and_commands(tmp_path: Path) -> None:
    told = small({"a: 1 s": [], "b!": ["encoder.frames=208"]}, reading="The first row wins.")
    rows = study.rows_of(told, tmp_path)
    for row, losses in zip(rows, [(1.0, 0.3), (2.0, 0.25)], strict=True):
        (row.folder / "run").mkdir(parents=True)
        lines = [f'{{"step": {step}, "loss": {loss}}}\n' for step, loss in enumerate(losses)]
        (row.folder / "run" / "log.jsonl").write_text("".join(lines))
    page = study.page(told, [(rows[0], [result(0.5)]), (rows[1], [result(0.25)])])
    assert "| row | mean | GFLOP | loss | drum | word |" in page
    short, long = (line.split(" | ") for line in page.splitlines() if line.startswith(("| a: 1 s", "| b!")))
    assert short[1].startswith("60.0 (")
    assert short[3] == "0.300"
    assert long[4:] == ["45.0", "25.0 |"]
    assert 1.9 < float(long[2]) / float(short[2]) < 2.3  # twice the input
    assert "\nThe first row wins.\n" in page
    assert "msm-mae-open runs/b data.corpus=data/open encoder.frames=208 --until 7" in page
    page = study.page(replace(told, also=["mean"]), [(rows[0], [result(0.5), result(0.1)])])
    assert "| row | mean | mean, mean | GFLOP | loss | drum | word |" in page
    assert next(line for line in page.splitlines() if line.startswith("| a: 1 s")).split(" | ")[2].startswith("20.0 (")


def test_rows_of_one_name_are_refused() -> None:
    with pytest.raises(Exception, match="same name"):
        study.rows_of(small({"a b": [], "A-b": []}), Path())


def test_a_row_keeps_its_folder(tmp_path: Path) -> None:
    [row] = study.rows_of(small({"75 % masked, 2.08 s": ["x=1"]}), tmp_path)
    assert row == Row("75 % masked, 2.08 s", ["x=1"], tmp_path / "75-masked-2-08-s")


def test_every_row_has_the_changes_that_all_have() -> None:
    rows = study.rows_of(small({"a": [], "b": ["y=2"]}, changes=["x=1"]), Path())
    assert [row.changes for row in rows] == [["x=1"], ["x=1", "y=2"]]
