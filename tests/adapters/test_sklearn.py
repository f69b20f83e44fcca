"""scikit-learn's own checks, and a pipeline over files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_audioformer import weights
from hear_audioformer.audio import resample
from tests.test_weights import write_tiny

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from hear_audioformer.adapters.sklearn import AudioEmbedder


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    found = []
    for number, rate in enumerate((8000, 16000, 22050, 44100)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.5 * np.sin(np.arange(rate) * (number % 2 + 1) / 9), rate)
        found.append(str(path))
    return found


def test_check_estimator(tmp_path: Path) -> None:
    """All that scikit-learn asks of a transformer: its rows of numbers count as waveforms, so nothing is excused."""
    embedder = AudioEmbedder(str(write_tiny(tmp_path / "tiny.safetensors")))
    results = check_estimator(embedder, on_fail=None, on_skip=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}
    assert failed == {}
    assert sum(result["status"] == "passed" for result in results) > 30


def test_files(tmp_path: Path, paths: list[str]) -> None:
    file = write_tiny(tmp_path / "tiny.safetensors")
    vectors = AudioEmbedder(str(file), batch_size=3).fit_transform(paths)
    model = weights.load_model(file)
    assert vectors.shape == (4, model.scene_embedding_size)
    assert vectors.dtype == np.float32
    alone = AudioEmbedder(str(file)).transform([Path(paths[3])])
    np.testing.assert_allclose(alone[0], vectors[3], atol=1e-5)
    pipeline = make_pipeline(AudioEmbedder(str(file)), LogisticRegression())
    assert pipeline.fit(paths, [0, 1, 0, 1]).score(paths, [0, 1, 0, 1]) == 1


def test_waveforms_at_another_rate(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "tiny.safetensors")
    audio = np.sin(np.arange(24000) / 9, dtype=np.float32)[None]
    vectors = AudioEmbedder(str(file), sample_rate=32000, pool="mean+std").transform(audio)
    expected = weights.load_model(file, pool="mean+std").scene(resample(torch.from_numpy(audio), 32000, 16000))
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-6)
