"""The golden tests hold for any file of the same layout: here, for files that plain implementations make.

Each set is tested as a user would test another file: by a run of the same tests with $GOLDENS.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import make_goldens

HERE = Path(__file__).parent
FILES = [*sorted(HERE.glob("test_golden_*.py")), HERE / "training" / "test_golden_asit.py"]
PARTS = {  # tests beside them that read a golden file too, and more
    "objectives/test_gmml": ("test_replayed_draws_give_the_mask_and_stop_after_the_last",),
    "objectives/test_msm_mae": (
        "test_decoder_positions",
        "test_mask_latent_and_prediction",
        "test_losses",
        "test_gradients",
    ),
}


@pytest.mark.parametrize("kind", make_goldens.SETS)
def test_golden_tests_hold_for_other_files(kind: str, tmp_path: Path) -> None:
    folder = make_goldens.write(tmp_path / kind, kind)
    assert {file.name for file in folder.iterdir()} == {file.name for file in (HERE / "goldens").iterdir()}
    parts = [f"{HERE}/training/{file}.py::{test}" for file, tests in PARTS.items() for test in tests]
    command = [sys.executable, "-m", "pytest", *map(str, FILES), *parts, "-q", "--tb=short", "-p", "no:cacheprovider"]
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        command, cwd=HERE.parent, env={**known, "GOLDENS": str(folder)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
