"""k-means, the number of clusters, the command."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hear_audioformer import cluster as cluster_module
from hear_audioformer.cli import main
from hear_audioformer.cluster import cluster_table
from hear_audioformer.kmeans import assign, choose, fit, silhouette
from hear_audioformer.standard import Standard
from tests.tables import blobs, write_part

pytest.importorskip("pyarrow")


def units_of(rows: int, centres: int, **options: float) -> tuple[np.ndarray, np.ndarray]:
    vectors, owners = blobs(rows, centres, **options)  # type: ignore[arg-type]
    return Standard.of([vectors]).unit(vectors), owners


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two ways to group are the same, whatever the groups are called."""
    return bool(np.array_equal(one[:, None] == one, other[:, None] == other))


def test_groups_are_found_for_many_seeds() -> None:
    units, owners = units_of(120, 5, spread=0.1)
    for seed in range(5):
        assert same(assign(units, fit(units, 5, seed=seed))[0], owners)


def test_the_number_of_groups_is_found() -> None:
    for centres in (3, 6):
        count, scores = choose(units_of(150, centres, spread=0.1)[0])
        assert count == centres
        assert scores[centres] > 0.5


def test_silhouette_is_the_definition() -> None:
    points = np.array([0.0, 1.0, 10.0, 12.0, 100.0])
    distances = np.abs(points[:, None] - points)
    owners = np.array([0, 0, 1, 1, 2])
    values = [(11 - 1) / 11, (10 - 1) / 10, (9.5 - 2) / 9.5, (11.5 - 2) / 11.5, 0]
    assert silhouette(distances, owners) == pytest.approx(np.mean(values))
    assert silhouette(distances, np.zeros(5)) == -1


def test_more_clusters_than_different_rows() -> None:
    units = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    centres = fit(units, 5)
    assert np.isfinite(centres).all()
    assert (assign(units, centres)[1] > 0.999).all()


def test_a_table_larger_than_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Centres of a sample own all rows; the largest cluster is number 0."""
    monkeypatch.setattr(cluster_module, "SAMPLE", 100)
    vectors, owners = blobs(600, 4, spread=0.1)
    keep = (owners != 2) | (np.arange(600) % 8 == 2)
    found = cluster_table(write_part(tmp_path / "out", vectors[keep]), 4)
    assert same(found.owners, owners[keep])
    assert [one.size for one in found.clusters] == [150, 150, 150, 75]
    for one in found.clusters:
        best = found.similarity[found.owners == one.number].max()
        rows = [int(Path(place.path).stem) for place in one.central]
        assert found.similarity[rows[0]] == best
        assert all(found.owners[row] == one.number for row in rows)


def test_the_command(tmp_path: Path) -> None:
    vectors, owners = blobs(60, 3, spread=0.1)
    table, out = str(write_part(tmp_path / "out", vectors)), tmp_path / "clusters.csv"
    shown = CliRunner().invoke(main, ["cluster", table, "-o", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "3: 0." in shown.stdout.splitlines()[0]
    assert "cluster 2: 20 rows" in shown.stdout
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert same(np.array([int(row["cluster"]) for row in rows]), owners)
    assert rows[0]["path"] == "sounds/0000.flac"
    for arguments, message in {
        (table, "-o", str(out)): "--overwrite",
        (table, "-o", str(tmp_path / "x.txt")): "must end in .csv",
        (table, "-o", str(tmp_path / "x.csv"), "-n", "61"): "ask for 1 to 60",
    }.items():
        refused = CliRunner().invoke(main, ["cluster", *arguments])
        assert refused.exit_code == 2
        assert message in refused.stderr
