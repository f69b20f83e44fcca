"""What an import costs and what it does not touch: torch where nobody embeds, torchaudio anywhere."""

import importlib
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import hear_audioformer
from hear_audioformer import cli, convert, embedder, list_models
from hear_audioformer.bulk import command

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "example.ogg"
BROKEN = {
    "ImportError": "raise ImportError('undefined symbol: of another torch')",
    "OSError": "raise OSError('libtorchaudio.so: undefined symbol: of another torch')",
    "another version": "__version__ = '0.0.1'",
}
EMBED = f"""
import sys
import hear_audioformer, hear_audioformer.msm_mae
from hear_audioformer import load_model
assert hear_audioformer.embed({str(EXAMPLE)!r}).isfinite().all()
print("torchaudio" in sys.modules)
"""


def python(*arguments: str, first: Path = ROOT) -> str:
    """What a new interpreter prints; ``first`` comes before all else on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(first), str(ROOT))), "HF_HUB_OFFLINE": "1"}
    program = [sys.executable, *arguments]
    return subprocess.run(program, env=environment, check=True, capture_output=True, text=True).stdout


def seconds(*arguments: str) -> float:
    """Of the processor, which a busy machine stretches less than the clock's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_torchaudio_is_never_imported() -> None:
    assert python("-c", EMBED).split() == ["False"]


def test_loading_a_model_compiles_nothing() -> None:
    """torch's decompositions, and sympy with them, took a second at every start."""
    code = f"""
import sys
import hear_audioformer
for name in {list_models()!r}:
    hear_audioformer.load_model(name)
hear_audioformer.embed({str(EXAMPLE)!r})
print(*sorted({{"sympy", "torch._dynamo", "torch._inductor"}} & sys.modules.keys()))
"""
    assert python("-c", code).split() == []


@pytest.mark.parametrize("kind", BROKEN)
def test_a_torchaudio_that_does_not_fit_changes_nothing(tmp_path: Path, kind: str) -> None:
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text(BROKEN[kind])
    assert python("-c", EMBED, first=tmp_path).split() == ["False"]


def test_every_public_name_is_there() -> None:
    """HEAR's tools import the module by its name and ask ``hasattr``."""
    module = importlib.import_module("hear_audioformer")
    assert set(hear_audioformer.__all__) == hear_audioformer.MODULES.keys()
    assert all(hasattr(module, name) for name in hear_audioformer.__all__)
    assert set(hear_audioformer.__all__) <= set(dir(module))
    assert not hasattr(module, "no_such_name")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from hear_audioformer import no_such_name")


def test_choices_of_the_command_line_are_those_of_the_package() -> None:
    assert get_args(embedder.Precision) == command.PRECISIONS
    assert list(convert.METHODS) == list(cli.CONVERTED)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["embed", "--help"], ["convert", "--help"]])
def test_help_and_lists_do_not_import_torch(arguments: list[str]) -> None:
    code = f"""
import sys
from hear_audioformer.cli import main
main({arguments!r}, standalone_mode=False)
print(*sorted({{"torch", "numpy", "soundfile", "huggingface_hub"}} & sys.modules.keys()))
"""
    assert python("-c", code).splitlines()[-1] == ""


def test_the_package_runs_as_a_module() -> None:
    assert hear_audioformer.__version__ in python("-m", "hear_audioformer", "--version")
    assert "msm-mae-tiny" in python("-m", "hear_audioformer", "list")


def test_costs_of_importing() -> None:
    """In one run with torch, in turn: ``load_model`` costs little more, the package and the list next to nothing."""
    programs = {
        "torch": ("-c", "import torch"),
        "load_model": ("-c", "from hear_audioformer import load_model"),
        "package": ("-c", "import hear_audioformer"),
        "list": ("-m", "hear_audioformer", "list"),
    }
    for program in programs.values():
        seconds(*program)  # bytecode is written, files are in the page cache
    ratios: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(3):
        taken = {name: seconds(*program) for name, program in programs.items()}
        for name in programs:
            ratios[name].append(taken[name] / taken["torch"])
    ratio = {name: statistics.median(of_rounds) for name, of_rounds in ratios.items()}
    assert ratio["load_model"] < 1.2, ratios  # 1.07 on a quiet machine
    assert ratio["package"] < 0.1, ratios
    assert ratio["list"] < 0.2, ratios
