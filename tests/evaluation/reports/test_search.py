"""The report on search: exact and approximate find the same in a small table."""

from pathlib import Path

import pytest

from evaluation.reports.search import measured, write_table

pytest.importorskip("pyarrow")
pytest.importorskip("faiss")


def test_both_manners_find_the_same(tmp_path: Path) -> None:
    write_table(tmp_path, 300, 16)
    exact, built, kept = (measured(tmp_path, approximate) for approximate in (False, True, True))
    assert len(exact["rows"]) == 20
    assert {len(rows) for rows in exact["rows"]} == {10}
    assert exact["rows"] == built["rows"] == kept["rows"]
    assert exact["peak"] > 10
    assert min(exact["open"], exact["query"]) > 0
