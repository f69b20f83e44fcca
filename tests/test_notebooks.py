"""The notebooks and the tutorial run as they are, and print what stands below their cells."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
FIGURE = re.compile(r"\d+(\.\d+)?")  # of a score, which another machine may round otherwise


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, object] = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec("".join(cell["source"]), names)
        stored = "".join("".join(output["text"]) for output in cell["outputs"])
        assert len(stored) < 1000
        assert FIGURE.sub("#", printed.getvalue()) == FIGURE.sub("#", stored)


def test_the_tutorial_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On random vectors in place of the telephone's sounds: its blocks of Python follow each other."""
    monkeypatch.chdir(tmp_path)
    kinds = ["ringtones"] * 30 + ["notifications"] * 14 + ["focus"]
    paths = [f"sounds/{kind}/{number}.ogg" for number, kind in enumerate(kinds)]
    paths[-2] = "sounds/notifications/Xylo.ogg"
    vectors = np.random.default_rng(0).standard_normal((45, 1856)).astype(np.float32)
    np.savez("vectors.npz", embeddings=vectors, paths=np.array(paths))
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "tutorial.md").read_text(), re.M | re.S):
        exec(block, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "(45, 1856) float32"
    assert len(lines) == 5
