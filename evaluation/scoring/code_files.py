"""The source files that a model's embeddings depend on: its HEAR module, its classes, and their imports.

Import statements are read from the source, also inside functions. They are followed within this repository and within
the package of a foreign module. Imports by a computed name are not visible there, so the modules of the loaded model's
classes count too, and a HEAR module may name more by a function ``source_modules(model)``.
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
AUDIO = "hear_audioformer.audio"  # reads and resamples the input of every module


def source_hash(module: ModuleType, loaded: Any = None) -> str:
    """SHA-256 of the names and bytes of all source files."""
    digest = hashlib.sha256()
    for name, file in sorted(source_files(module, loaded).items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def source_files(module: ModuleType, loaded: Any = None) -> dict[str, Path]:
    """Module name -> source file. For a foreign module, all files in its folder count.

    Args:
        loaded: the model that ``load_model`` returned.
    """
    top = module.__name__.split(".")[0]
    classes = {type(part).__module__ for part in loaded.modules()} if isinstance(loaded, nn.Module) else set()
    files: dict[str, Path] = {}
    if top not in OURS:
        files = {f"{file.name} beside": file for file in Path(module.__file__ or "").parent.glob("*.py")}
    named = getattr(module, "source_modules", lambda model: ())(loaded)
    _follow({module.__name__, AUDIO, *classes, *named}, (*OURS, top), files)
    return files


def _follow(names: set[str], packages: tuple[str, ...], files: dict[str, Path]) -> None:
    """Adds modules, their parent packages and their imports, if they belong to ``packages``."""
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name in files or name.split(".")[0] not in packages:
            continue
        file = _file(name)
        if file is None:  # a function or class, not a module
            continue
        files[name] = file
        open_names += [name.rpartition(".")[0], *_imports(name, file.name == "__init__.py", file.read_bytes())]


def _file(name: str) -> Path | None:
    """A module's source file; does not import the module."""
    top, *rest = name.split(".")
    spec = find_spec(top) if top else None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None


@functools.lru_cache(maxsize=1024)
def _imports(name: str, package: bool, source: bytes) -> tuple[str, ...]:
    """Names in a module's import statements; some are functions or classes, not modules."""
    return tuple(imported for node in ast.walk(ast.parse(source)) for imported in _imported_names(node, name, package))


def _imported_names(node: ast.AST, name: str, package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = name.split(".")
        above = parts[: len(parts) + package - node.level] if node.level else []
        base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
