"""One stack: a package imports what stands below it, never above, not even inside a function."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STACK = ("hear_audioformer", "corpora", "evaluation", "training")  # from the ground up


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, anywhere in it, with the line: by statement, or by name to import_module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.lineno, node.value  # a module's name, for import_module


def upwards(path: Path, package: str) -> list[str]:
    """Imports of a package that stands above."""
    above = STACK[STACK.index(package) + 1 :]
    return [
        f"{path.name}:{line} imports {name}"
        for line, name in imported(path)
        if name.split(".")[0] in above and name.replace(".", "").isidentifier()
    ]


@pytest.mark.parametrize("package", STACK)
def test_no_package_imports_what_stands_above_it(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    assert [arrow for path in files for arrow in upwards(path, package)] == []


@pytest.mark.parametrize(
    "line",
    [
        "import training.loop",
        "from training import loop",
        "def late():\n    from training.loop import train",
        "import importlib\nimportlib.import_module('training.loop')",
    ],
)
def test_an_arrow_upwards_is_seen(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(line)
    assert upwards(path, "evaluation")
    assert not upwards(path, "training")
