"""A small model, a folder of recordings, and runs over it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pyarrow import parquet

from hear_audioformer.bulk.portions import Portion
from hear_audioformer.bulk.run import embed_files
from hear_audioformer.bulk.summary import Summary
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


def run(inputs: Any, out: Path, model: Path, **options: Any) -> Summary:
    """``embed_files`` in this process, without progress."""
    return embed_files(inputs, out, model, workers=0, progress=False, **options)


def table(out: Path) -> Any:
    """All parts as one table of Arrow."""
    return parquet.read_table(out)


def vectors(out: Path) -> np.ndarray:
    """(rows, dim)."""
    return np.stack(table(out)["embedding"].to_numpy())


class StopError(Exception):
    """A run ends here."""


def stop_after(portions: int, inputs: Any, out: Path, model: Path, **options: Any) -> None:
    """A run that ends after some portions are committed."""
    commits = []

    def done(self: Any, portion: Portion, seconds: float) -> None:
        commits.append(portion)
        if len(commits) == portions:
            raise StopError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hear_audioformer.bulk.portions.Portions.done", done)
        with pytest.raises(StopError):
            run(inputs, out, model, **options)
