"""A small model and a folder of recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import small_encoder, write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of a small MSM-MAE."""
    return write_model(small_encoder("msm-mae"), "msm-mae", tmp_path_factory.mktemp("model") / "small.safetensors")


def write_recordings(folder: Path, count: int, seconds: float = 0.3, seed: int = 0) -> list[Path]:
    """Noises of about this length, each its own, as 16-kHz FLAC."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    paths = [folder / f"{number:04}.flac" for number in range(count)]
    for path in paths:
        samples = int(16000 * seconds * generator.uniform(0.5, 1.5))
        soundfile.write(path, 0.1 * generator.standard_normal(samples), 16000)
    return paths


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    """Forty short recordings: two tasks."""
    return write_recordings(tmp_path / "recordings", 40)
