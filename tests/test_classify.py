"""Few-shot classification: heads, folds, examples, the command."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import hear_audioformer
from hear_audioformer.classify import Classifier, reported, wilson
from hear_audioformer.cli import main
from hear_audioformer.errors import InputError
from hear_audioformer.examples import find_examples
from hear_audioformer.head import STRENGTHS, chosen, cross_validated, fit, folds_of
from tests.conftest import small_encoder, write_model
from tests.tables import blobs

pytest.importorskip("pyarrow")


def write_sounds(folder: Path, kind: str, count: int, seed: int = 0) -> None:
    """High and low tones, or noise, in a bit of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    time = np.arange(8000) / 16000
    for number in range(count):
        pitch = {"low": 300, "high": 3000}.get(kind, 0) * generator.uniform(0.8, 1.2)
        tone = 0.3 * np.sin(2 * np.pi * pitch * time) if pitch else 0.1 * generator.standard_normal(len(time))
        soundfile.write(folder / f"{kind}{number}.flac", tone + 0.01 * generator.standard_normal(len(time)), 16000)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify")
    model = write_model(small_encoder("msm-mae"), "msm-mae", folder / "small.safetensors")
    for kind in ("low", "high"):
        write_sounds(folder / "in", kind, 6)
        write_sounds(folder / "examples" / kind, kind, 8, seed=1)
    for name, options in {"scenes": {}, "segments": {"segment": 0.2}, "frames": {"timestamps": True}}.items():
        hear_audioformer.embed_files(folder / "in", folder / name, model, workers=0, progress=False, **options)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_head_is_at_the_minimum() -> None:
    """The gradient of cross entropy and penalty is zero, with more examples than values and with fewer."""
    for rows in (60, 6):
        vectors, labels = blobs(rows, 3, dim=20, spread=1.0)
        features = (vectors - vectors.mean(0)) / 5
        for head in fit(features, labels, 3, STRENGTHS[:3]):
            apart = head(features) - np.eye(3)[labels]
            gradient = features.T @ apart / rows + head.strength * head.weight
            assert np.abs(gradient).max() < 1e-3
            assert np.abs(apart.mean(0)).max() < 1e-3


def test_folds_keep_recordings_whole_and_labels_even() -> None:
    labels = np.repeat([0, 1], [40, 20])
    groups = np.arange(60) // 2
    folds = folds_of(labels, groups, 5)
    assert folds is not None
    assert all(len(set(folds[groups == group])) == 1 for group in range(30))
    for label, rows in ((0, 8), (1, 4)):
        assert np.bincount(folds[labels == label]).tolist() == [rows] * 5
    assert folds_of(np.array([0, 0, 1]), np.arange(3), 5) is None


def test_cross_validation_is_fair_where_nothing_can_be_learnt() -> None:
    """With labels at random, more values than examples, and copies of each example in its own group."""
    generator = np.random.default_rng(0)
    features = np.repeat(generator.standard_normal((60, 100)), 3, axis=0).astype(np.float32) / 10
    labels = np.repeat(generator.permutation(np.repeat([0, 1], 30)), 3)
    predicted, folds = cross_validated(features, labels, np.arange(180) // 3, 2)
    assert folds == 5
    assert 0.3 < (predicted.argmax(1) == labels).mean() < 0.7
    leaking, _ = cross_validated(features, labels, np.arange(180), 2)
    assert (leaking.argmax(1) == labels).mean() > 0.9


def test_strength_is_chosen_by_the_examples() -> None:
    vectors, labels = blobs(60, 3, dim=20, spread=0.1)
    clear = chosen((vectors - vectors.mean(0)) / 4, labels, np.arange(60), 3)
    noise = np.random.default_rng(0).standard_normal((60, 20)).astype(np.float32) / 4
    assert clear.strength < chosen(noise, labels, np.arange(60), 3).strength


def test_the_interval_is_wilsons() -> None:
    low, high = wilson(0.8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(1.0, 5)[1] == 1.0


def test_a_recording_counts_once() -> None:
    right = np.array([True] * 9 + [False])
    report = reported(["a", "b"], np.array([0] * 9 + [1]), np.array([0] * 9 + [1]), right, 2)
    assert report.accuracy == 0.5
    assert report.recalls == {"a": (1, 1.0), "b": (1, 0.0)}
    assert "not clearly better than guessing" in str(report)


@pytest.mark.parametrize("kind", ["scenes", "segments", "frames"])
def test_every_kind_of_table(home: Path, tmp_path: Path, kind: str) -> None:
    classifier = Classifier.of(home / kind, find_examples(home / "examples"))
    assert classifier.report.accuracy > 0.9
    classifier.write(tmp_path / "labels.csv", every=True)
    rows = rows_of(tmp_path / "labels.csv")
    assert len(rows) == len(classifier.table)
    assert np.mean([row["label"] in Path(row["path"]).stem for row in rows]) > 0.9
    assert all(abs(float(row["low"]) + float(row["high"]) - 1) < 2e-4 for row in rows)
    assert [float(row["offset"]) for row in rows] == classifier.table.offsets.tolist()


def test_the_command_prints_the_accuracy_first(home: Path, tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(home / "examples", examples)
    (examples / "low" / "bad.flac").write_bytes(b"no audio")
    out = tmp_path / "labels.csv"
    arguments = ["classify", str(home / "scenes"), "--examples", str(examples), "-o", str(out)]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.output
    first = shown.stdout.splitlines()[0]
    assert first.startswith("cross-validated accuracy 1.000 (95 % interval 0.8")
    assert "5 folds, 16 recordings of 2 labels; guessing 0.500" in first
    assert "fewer than 10 recordings" in shown.stdout
    assert "bad.flac" in shown.stderr
    assert list(rows_of(out)[0]) == ["path", "offset", "seconds", "label", "probability"]
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_examples_in_a_csv(home: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    paths = sorted((home / "examples").rglob("*.flac"))
    listed.write_text("path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in paths))
    assert find_examples(listed) == find_examples(home / "examples")


def test_groups_stay_whole(home: Path, tmp_path: Path) -> None:
    """Of a label whose recordings are all of one group nothing can be promised."""
    listed = tmp_path / "list.csv"
    paths = sorted((home / "examples").rglob("*.flac"))
    lines = [f"{path},{path.parent.name},{place % 4}" for place, path in enumerate(paths)]
    listed.write_text("\n".join(["path,label,group", *lines]))
    assert Classifier.of(home / "scenes", find_examples(listed)).report.folds == 4
    listed.write_text(
        "\n".join(["path,label,group", *(f"{path},{path.parent.name},{path.parent.name}" for path in paths)])
    )
    with pytest.raises(ValueError, match="two groups of each label"):
        Classifier.of(home / "scenes", find_examples(listed))


def test_examples_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    write_sounds(tmp_path / "one" / "low", "low", 3)
    write_sounds(tmp_path / "two" / "low", "low", 3)
    write_sounds(tmp_path / "two" / "high", "high", 1)
    (tmp_path / "a.csv").write_text("file,label\n")
    (tmp_path / "b.csv").write_text("path,label\nx.flac,\n")
    messages = {
        "one": "has 1 labels",
        "two": "high: one recording only",
        "gone": "give a folder",
        "a.csv": "no column path",
        "b.csv": "line 2: path or label is empty",
    }
    for name, message in messages.items():
        with pytest.raises(InputError, match=message):
            find_examples(tmp_path / name)
