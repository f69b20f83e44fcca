"""The commands of a package, with a line each: ``python -m corpora``, ``python -m evaluation``, ``python -m training``.

Files are read as text, never imported, so that the list needs no torch.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def find(package: str) -> dict[str, str]:
    """Module -> first paragraph of its command's help, for every module of a package whose ``main`` is click's."""
    commands = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        about = summary(path)
        if about is not None:
            parts = path.relative_to(ROOT).with_suffix("").parts
            commands[".".join(part for part in parts if part != "__main__")] = about
    return commands


def summary(path: Path) -> str | None:
    """First paragraph of the docstring of a file's ``main``, or None where no decorator makes a command of it."""
    functions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    for function in functions:
        decorators = map(ast.unparse, function.decorator_list)
        if function.name == "main" and any("click." in decorator for decorator in decorators):
            paragraph = (ast.get_docstring(function) or "").split("\n\n")[0]
            return " ".join(paragraph.split())
    return None


def show(package: str) -> None:
    """Prints the list."""
    commands = find(package)
    width = max(map(len, commands))
    print(f"Commands of {package}; --help tells the options of each.\n")
    for module, about in commands.items():
        print(f"  python -m {module:{width}}  {about}")
