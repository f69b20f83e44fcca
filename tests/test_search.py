"""Search: exact and approximate, by recording and by row, by the table's own model alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import hear_audioformer
from hear_audioformer import exact as exact_module
from hear_audioformer import search as search_module
from hear_audioformer.approximate import place_of
from hear_audioformer.cli import main
from hear_audioformer.errors import AudioError, StoreError, WeightsError
from hear_audioformer.same_model import SameModel
from hear_audioformer.search import Index
from hear_audioformer.standard import Standard
from hear_audioformer.table import open_table
from tests.bulk.conftest import write_recordings
from tests.conftest import small_encoder, small_network, write_model
from tests.tables import blobs, write_part

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, twelve recordings, and tables of them."""
    folder = tmp_path_factory.mktemp("search")
    model = write_model(small_encoder("msm-mae"), "msm-mae", folder / "small.safetensors")
    write_recordings(folder / "in", 12, 1.0)
    hear_audioformer.embed_files(
        folder / "in", folder / "scenes", model, workers=0, progress=False, pool="mean+std", layers=[1, 3]
    )
    hear_audioformer.embed_files(
        folder / "in", folder / "frames", model, workers=0, progress=False, timestamps=True, hop_ms=20
    )
    return folder


def reference(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosine similarities of standardised vectors."""
    mean, deviation = vectors.mean(0), vectors.std(0)
    one, all_rows = (query - mean) / deviation, (vectors - mean) / deviation
    return all_rows @ one / np.linalg.norm(all_rows, axis=1) / np.linalg.norm(one)


@pytest.mark.parametrize("kept", [0, 1 << 28])
def test_exact_search_is_the_definition(tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether vectors stay in memory or are read again, in batches."""
    monkeypatch.setattr(exact_module, "KEPT", kept)
    vectors, _ = blobs(40_000, 7)
    index = Index(write_part(tmp_path / "out", vectors))
    query = vectors[5] + 0.1
    for _ in range(2):
        hits = index.search_vectors(query[None], 20)[0]
        wanted = reference(vectors.astype(np.float64), query)
        assert np.allclose([hit.score for hit in hits], np.sort(wanted)[::-1][:20], atol=1e-5)
        assert np.allclose(wanted[[hit.row for hit in hits]], [hit.score for hit in hits], atol=1e-5)
        assert [hit.rank for hit in hits] == list(range(1, 21))
        assert hits[0].path == f"sounds/{hits[0].row:04}.flac"


def test_a_recording_finds_itself(home: Path) -> None:
    """By the options of the table, which nobody repeats."""
    index = Index(home / "scenes")
    hits = index.search(home / "in" / "0007.flac", k=3)
    assert hits[0].path == str(home / "in" / "0007.flac")
    assert hits[0].score > 0.999
    assert hits[1].score < 0.99


@pytest.mark.parametrize("options", [{}, {"timestamps": True}])
def test_every_method_embeds_the_query(tmp_path: Path, method: str, options: dict[str, Any]) -> None:
    """Fusions too, whose tables name a pool that no user may choose."""
    model = write_model(small_network(method), method, tmp_path / "small.safetensors")
    write_recordings(tmp_path / "in", 3, 1.0)
    hear_audioformer.embed_files(tmp_path / "in", tmp_path / "out", model, workers=0, progress=False, **options)
    hits = Index(tmp_path / "out").search(tmp_path / "in" / "0001.flac", k=2)
    assert len(hits) == 2
    if not options:
        assert hits[0].row == 1
        assert hits[0].score > 0.999


def test_a_row_needs_no_model(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "scenes", tmp_path / "scenes")
    by_recording = Index(home / "scenes").search(home / "in" / "0007.flac", k=4)[1:]
    index = Index(tmp_path / "scenes", model="no-such-model")
    (hits,) = index.search_rows([7], k=3)
    assert [hit.row for hit in hits] == [hit.row for hit in by_recording]
    assert [hit.rank for hit in hits] == [1, 2, 3]


def test_frames_say_where(home: Path) -> None:
    """Hits of one recording are as far apart as the query is long."""
    hits = Index(home / "frames").search(home / "in" / "0003.flac", k=12)
    for one in hits:
        for other in hits:
            assert one is other or one.path != other.path or abs(one.offset - other.offset) >= 0.5
    assert len(hits) >= 12
    assert len({hit.offset for hit in hits}) > 1


def test_other_weights_are_refused(home: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    encoder = small_encoder("msm-mae")
    with torch.no_grad():
        next(encoder.parameters()).add_(0.01)
    other = write_model(encoder, "msm-mae", tmp_path / "other.safetensors")
    with pytest.raises(StoreError, match=r"made by weights [0-9a-f]{12}, .*other.safetensors holds .* --model"):
        Index(home / "scenes", model=other).search(home / "in" / "0001.flac")
    facts = open_table(home / "scenes").facts
    with pytest.raises(WeightsError, match=r"which is not at gone.safetensors now .* --model"):
        SameModel({**facts, "source": "gone.safetensors"})
    moved = shutil.copy(home / "small.safetensors", tmp_path / "moved.safetensors")
    index = Index(home / "scenes", model=moved)
    assert index.search(home / "in" / "0001.flac", k=1)[0].row == 1


def test_queries_that_cannot_be_are_refused(home: Path, tmp_path: Path) -> None:
    index = Index(home / "scenes")
    with pytest.raises(AudioError, match="no such file"):
        index.search(tmp_path / "gone.flac")
    with pytest.raises(ValueError, match=r"shape \(1, 3\): the table needs"):
        index.search_vectors(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match="k=0"):
        index.search_vectors(np.zeros((1, index.table.dim), np.float32), 0)


def test_few_rows_are_compared_as_they_are(tmp_path: Path) -> None:
    index = Index(write_part(tmp_path / "out", np.array([[1.0, 2.0, 2.0]])))
    assert "too few" in index.note
    assert index.search_vectors(np.array([[2.0, 4.0, 4.0]]), 5)[0][0].score == pytest.approx(1.0)


def test_constant_values_do_not_count() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    vectors[:, 2] = 1000.1
    standard = Standard.of([vectors[:20], vectors[20:]])
    assert standard.scale[2] == 0
    assert np.allclose(standard(vectors)[:, [0, 1, 3]].std(0), 1, atol=1e-4)
    far = vectors + np.array([0, 0, 7, 0], np.float32)
    assert np.allclose(standard.unit(vectors), standard.unit(far))


def test_faiss_is_built_once_and_again_when_parts_are_added(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    vectors, _ = blobs(3000, 20)
    out = write_part(tmp_path / "out", vectors[:2500])
    exact = Index(out, approximate=False)
    built = Index(out, approximate=True)
    assert "built" in built.note
    kept = Index(out, approximate=True)
    assert kept.note == ""
    assert not kept.exact
    first = place_of(kept.table)
    assert first.parent == out / "_run"
    found = []
    for index in (exact, built, kept):
        hits = index.search_vectors(vectors[:50], 10)
        found.append([{hit.row for hit in some} for some in hits])
        assert hits[0][0].row == 0
    recall = np.mean([len(one & other) / 10 for one, other in zip(found[0], found[2], strict=True)])
    assert recall > 0.9
    assert found[1] == found[2]
    write_part(out, vectors[2500:], first=2500)
    grown = Index(out, approximate=True)
    assert "built" in grown.note
    assert grown.search_vectors(vectors[2900:2901], 1)[0][0].row == 2900
    assert not first.exists()
    assert len(list((out / "_run").glob("index-*"))) == 2


def test_large_tables_are_searched_by_faiss_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "LARGE", 100)
    out = write_part(tmp_path / "out", blobs(120, 3)[0])
    monkeypatch.setattr(search_module, "find_spec", lambda name: None)
    index = Index(out)
    assert index.exact
    assert "pip install" in index.note
    with pytest.raises(StoreError, match=r"needs FAISS: pip install"):
        Index(out, approximate=True)
    monkeypatch.undo()
    monkeypatch.setattr(search_module, "LARGE", 100)
    pytest.importorskip("faiss")
    assert not Index(out).exact
    assert Index(out, approximate=False).exact


def test_the_command(home: Path) -> None:
    table, query = str(home / "scenes"), str(home / "in" / "0002.flac")
    shown = CliRunner().invoke(main, ["search", table, query, "-k", "3"])
    assert shown.exit_code == 0, shown.output
    assert "12 scenes by small" in shown.stdout
    assert "row 2 " in shown.stdout
    assert "searched in" in shown.stderr
    as_json = CliRunner().invoke(main, ["search", table, query, "--row", "5", "-k", "3", "--json"])
    hits = json.loads(as_json.stdout)["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 1, 2, 3]
    assert hits[3]["query"] == "row 5"
    as_csv = CliRunner().invoke(main, ["search", table, "--row", "5", "--csv"])
    assert as_csv.stdout.splitlines()[0] == "query,rank,score,row,path,offset,seconds"
    for arguments, message in {
        (table,): "name recordings to search by",
        (table, "--row", "99"): "rows 0 to 11",
        ("gone/", query): "no such table",
    }.items():
        refused = CliRunner().invoke(main, ["search", *arguments])
        assert refused.exit_code == 2
        assert message in refused.stderr
