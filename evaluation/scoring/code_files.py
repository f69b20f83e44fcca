"""The source files that a model's embeddings come from: its HEAR module, its classes, and all that these import.

Imports are read from the source, at the top of a file or within a function, and followed within this repository and
within the package of a foreign module. What is loaded by a computed name cannot be read there: a method's module is
found from the classes of the loaded model, and a HEAR module may name more by a function ``source_modules(model)``.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

OURS = ("hear_audioformer", "corpora", "evaluation", "training")
CLIPS = "hear_audioformer.audio"  # reads and resamples what any module gets


def source_hash(module: ModuleType, loaded: Any = None) -> str:
    """Of all the files."""
    digest = hashlib.sha256()
    for name, file in sorted(source_files(module, loaded).items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def source_files(module: ModuleType, loaded: Any = None) -> dict[str, Path]:
    """The files by the names of their modules; beside a foreign module every file counts, imported or not.

    Args:
        loaded: what its ``load_model`` returned.
    """
    top = module.__name__.split(".")[0]
    classes = {type(part).__module__ for part in loaded.modules()} if isinstance(loaded, nn.Module) else set()
    found: dict[str, Path] = {}
    if top not in OURS:
        found = {f"{file.name} beside": file for file in Path(module.__file__ or "").parent.glob("*.py")}
    named = getattr(module, "source_modules", lambda model: ())(loaded)
    _follow({module.__name__, CLIPS, *classes, *named}, (*OURS, top), found)
    return found


def _follow(names: set[str], packages: tuple[str, ...], found: dict[str, Path]) -> None:
    """Adds modules, the packages that hold them and all that they import, as far as it lies within ``packages``."""
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name in found or name.split(".")[0] not in packages:
            continue
        file = _file(name)
        if file is None:  # a function or class, not a module
            continue
        found[name] = file
        open_names += [name.rpartition(".")[0], *_imports(name, file.name == "__init__.py", file.read_bytes())]


def _file(name: str) -> Path | None:
    """A module's source file, found without importing it."""
    top, *rest = name.split(".")
    spec = find_spec(top) if top else None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *rest)
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                return file
    return None


@functools.lru_cache(maxsize=1024)
def _imports(name: str, package: bool, source: bytes) -> tuple[str, ...]:
    """Names that a module's import statements may load; some are functions or classes of a module."""
    return tuple(found for node in ast.walk(ast.parse(source)) for found in _named(node, name, package))


def _named(node: ast.AST, name: str, package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = name.split(".")
        above = parts[: len(parts) + package - node.level] if node.level else []
        base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
