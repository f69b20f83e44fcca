"""What tests of the development tasks share."""

from pathlib import Path

import pytest

from tests.evaluation import corpus_of_noise


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that no test changes."""
    return corpus_of_noise.write(tmp_path_factory.mktemp("noise"), corpus_of_noise.paths())
