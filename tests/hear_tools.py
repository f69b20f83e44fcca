"""The released HEAR tools, unmodified, for the tests that run them.

    python -m tests.hear_tools      installs those that are missing

They cannot be dependencies: two are versions of one package, which differ in what they demand of a model, and all of
them declare versions of Python, NumPy and TensorFlow that no current environment can have, and that they do not need.
So each lives in a folder of its own under the environment; what heareval really imports is in the "test" extra.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

VALIDATORS = ("hearvalidator-2021.0.2", "hearvalidator-2021.0.6")  # what pip picks on a current Python; the newest
HEAREVAL = "heareval-2021.1.3"
TOOLS = (*VALIDATORS, HEAREVAL)

FOLDER = Path(sys.prefix, "hear-tools")
REPOSITORY = Path(__file__).parent.parent
STUBS = REPOSITORY / "evaluation" / "kit" / "stand_in"


def folder(tool: str) -> Path:
    """Where a tool is, or will be: one folder each, because two of them share their package's name."""
    return FOLDER / tool


def installed(tool: str) -> bool:
    """Whether a tool is there; a folder that exists is complete, because it was renamed into place."""
    return folder(tool).is_dir()


def environment(tool: str, *more: Path) -> dict[str, str]:
    """What a process needs to import a tool, the stand-in for TensorFlow and this package, and folders of a test."""
    path = (folder(tool), STUBS, REPOSITORY, *more)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}


def install(tool: str) -> None:
    """Downloads a tool from PyPI and moves it into place in one step, so that an interrupted try leaves nothing."""
    name, version = tool.rsplit("-", 1)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".") as temporary:
        staged = Path(temporary, tool)
        subprocess.run([*pip, "--target", str(staged), f"{name}=={version}"], check=True)
        try:
            staged.rename(folder(tool))
        except OSError:
            if not installed(tool):  # unless somebody else was faster
                raise


def main() -> None:
    """Installs what is missing, so that it can be called before every test run."""
    for tool in TOOLS:
        if not installed(tool):
            install(tool)
        print(f"{tool}: {folder(tool)}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
