"""A folder of twelve short recordings and two tables of it, by two small models."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import hear_audioformer
from tests.bulk.conftest import write_recordings
from tests.conftest import small_encoder, write_model


@dataclass(frozen=True)
class Home:
    """Where things are."""

    sounds: Path
    models: list[Path]
    tables: list[Path]
    labels: Path

    def sound(self, number: int) -> Path:
        return self.sounds / f"{number:04}.flac"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    pytest.importorskip("pyarrow")
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("demo")
    write_recordings(folder / "in", 12, 1.0)
    models, tables = [], []
    for method in ("msm-mae", "asit"):
        models.append(write_model(small_encoder(method), method, folder / f"{method}.safetensors"))
        tables.append(folder / method)
        hear_audioformer.embed_files(folder / "in", tables[-1], models[-1], workers=0, progress=False)
    labels = folder / "labels.csv"
    rows = [f"{folder / 'in' / f'{number:04}.flac'},{'even' if number % 2 == 0 else 'odd'}" for number in range(12)]
    labels.write_text("\n".join(["path,parity", *rows]) + "\n")
    return Home(folder / "in", models, tables, labels)
