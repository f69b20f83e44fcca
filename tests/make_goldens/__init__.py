"""Golden files of other shapes, made by plain implementations that share no code with the package.

    python -m tests.make_goldens FOLDER other    # then: GOLDENS=FOLDER pytest tests/test_golden_*.py

They have the layout of the files in ``tests/goldens``, which the authors' own code made, and show that the golden
tests hold for any file of it. Everything is computed in float64 from float32 weights.
"""

from pathlib import Path

from tests.make_goldens import asit, codec, language, mpc, msm_mae, mvit

SETS = ("other", "least")  # nothing as in the given files; one of everything that can be one


def write(folder: Path, kind: str) -> Path:
    """All files of one set."""
    folder.mkdir(parents=True, exist_ok=True)
    for maker in (msm_mae, asit, mvit, codec, mpc, language):
        maker.write(folder, kind)
    return folder
