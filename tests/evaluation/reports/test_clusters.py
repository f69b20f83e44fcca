"""Measures of clusters on made-up embeddings whose values are known, and the page of a small task."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from evaluation.reports import clusters
from evaluation.reports.clusters import COLUMNS, LabelledEmbeddings, measure, purity
from evaluation.scoring.embeddings import Model
from evaluation.tasks import tasks
from tests.evaluation import stand_in, toy

NAMES = list(COLUMNS)


def blobs(apart: float, clips: int = 20, dim: int = 8) -> LabelledEmbeddings:
    """Three classes of equal size, their centres this many deviations from one another."""
    generator = np.random.default_rng(0)
    classes = np.repeat([0, 1, 4], clips)
    centres = apart * np.eye(dim)[np.searchsorted([0, 1, 4], classes)]
    return LabelledEmbeddings(centres + generator.standard_normal((3 * clips, dim)), classes)


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(clusters.main, [str(folder), str(folder / "page.md"), *words])


def test_classes_far_apart_are_found() -> None:
    measures = dict(zip(NAMES, measure(blobs(60), 0), strict=True))
    assert measures["NMI"] == measures["ARI"] == measures["purity"] == 1
    assert measures["silhouette"] > 0.8
    assert measures["Davies-Bouldin"] < 0.2


def test_without_classes_there_is_nothing_to_find() -> None:
    measures = dict(zip(NAMES, measure(blobs(0, clips=100), 0), strict=True))
    assert abs(measures["ARI"]) < 0.05
    assert abs(measures["silhouette"]) < 0.05
    assert measures["purity"] < 0.5


def test_a_seed_draws_four_fifths_of_every_class() -> None:
    whole = blobs(3, clips=10)
    vectors, classes = clusters._draw(whole, 3)
    assert np.unique(classes, return_counts=True)[1].tolist() == [8, 8, 8]
    assert len(np.unique(vectors, axis=0)) == 24
    assert measure(whole, 3) == measure(whole, 3) != measure(whole, 4)


def test_purity() -> None:
    assert purity(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1])) == pytest.approx(3 / 5)


def test_embeddings_are_the_tested_clips_standardised(tmp_path: Path) -> None:
    task = tasks.read(toy.tones(tmp_path, clips=16))
    embedded = clusters.embed(task, Model(stand_in.__name__), tmp_path / "cache")
    assert len(embedded.vectors) == 16
    assert np.abs(embedded.vectors.mean(0)).max() < 1e-9
    assert np.allclose(embedded.vectors.std(0), 1)
    rare = tasks.read(toy.tones(tmp_path, "rare", clips=14))  # five clips of two classes, four of the third
    assert set(clusters.embed(rare, Model(stand_in.__name__), tmp_path / "cache").classes) == {0, 1}


def test_the_page_has_the_best_in_bold(tmp_path: Path) -> None:
    toy.tones(tmp_path, "folds", toy.FOLDS, clips=9)
    toy.tones(tmp_path, "other", clips=18)
    done = call(
        tmp_path, "--task", "folds", "--task", "other", "--model", f"bands={stand_in.__name__}",
        "--model", "log-mel=evaluation.baselines.logmel", "--out", str(tmp_path / "results"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.md").read_text()
    assert "## folds: 36 clips of 3 classes" in page
    assert "## other: 18 clips of 3 classes" in page
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| bands")]
    assert [len(line) for line in lines] == [1 + len(COLUMNS)] * 2
    assert lines[0][NAMES.index("NMI") + 1].startswith("**1 ±")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_less_is_better_where_it_is() -> None:
    rows = {"near": [[0.1] * 7, [0.3] * 7], "far": [[0.5] * 7, [0.7] * 7]}
    near, far = clusters.table("task", rows)[4:6]
    assert near.count("**") == 2
    assert far.count("**") == 12
    assert near.split(" | ")[3] == "**0.2 ± 0.1**"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "tones", "--model", "name"], "write NAME=MODULE or NAME=MODULE:SOURCE"),
        (["--task", "nothing", "--model", f"a={stand_in.__name__}"], "no task nothing in"),
        (["--task", "beeps", "--model", f"a={stand_in.__name__}"], "beeps has clips of several labels"),
    ],
)
def test_what_cannot_be_measured(tmp_path: Path, words: list[str], message: str) -> None:
    toy.tones(tmp_path)
    toy.beeps(tmp_path)
    done = call(tmp_path, *words)
    assert done.exit_code != 0
    assert message in done.output
