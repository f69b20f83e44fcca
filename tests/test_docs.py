"""What README, CONTRIBUTING, docs/ and the cards name exists: commands, options, recipes, files, pages, headings."""

import importlib
import importlib.util
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from corpora import commands
from hear_audioformer import cli
from hear_audioformer.index import METHODS, index

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "weights").glob("*.md"))
PACKAGES = ("corpora", "evaluation", "training")
OURS = (*PACKAGES, "hear_audioformer", "tests")
FOLDERS = (*OURS, "docs", "weights", ".ci", ".github")
RECIPES = {"training.pretrain": "", "training.fit_melrvq": "", "training.finetune": "finetune"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code(page: Path) -> Iterator[str]:
    """The code of a page: lines of its blocks with continuations joined, and what stands between backticks."""
    text = page.read_text()
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from re.sub(r"\\\n\s*", "", block).splitlines()
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))


def calls(line: str) -> Iterator[list[str]]:
    """The package's own commands in a line of code: module (or ``hear-audioformer``) and arguments."""
    for part in re.split(r"&&|;|\||\s#\s", line):
        found = re.search(r"(?:python3?|torchrun)\b.*? -m ([\w.]+)(.*)|(?:^|[\s/])(hear-audioformer)((?: .*)?)$", part)
        if found is None:
            continue
        name = found[1] or found[3]
        if name == "hear-audioformer" or name.split(".")[0] in OURS:
            try:
                yield [name, *shlex.split(found[2] or found[4] or "")]
            except ValueError:  # prose with an apostrophe
                yield [name]


CALLS = [(page, call) for page in PAGES for line in code(page) for call in calls(line)]
SCRIPTS = {  # every module that runs by itself, named in a page or not
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if '\nif __name__ == "__main__":' in path.read_text()
}
NAMES = sorted({call[0] for _, call in CALLS} | SCRIPTS)


def command(name: str) -> click.Command | None:
    """A module's click command, if it has one."""
    if name in ("hear-audioformer", "hear_audioformer"):
        return cli.main
    package = importlib.util.find_spec(f"{name}.__main__") if (ROOT / name.replace(".", "/")).is_dir() else None
    main = getattr(importlib.import_module(f"{name}.__main__" if package else name), "main", None)
    return main if isinstance(main, click.Command) else None


def test_commands_are_found() -> None:
    assert len(NAMES) > 25
    assert [*calls("pip install x && python -m training.export a 'b c' --pool d  # e")] == [
        ["training.export", "a", "b c", "--pool", "d"]
    ]
    assert [*calls("torchrun --nproc-per-node 8 -m training.pretrain r")] == [["training.pretrain", "r"]]
    assert [*calls(".venv/bin/hear-audioformer embed a -o b.npz")] == [
        ["hear-audioformer", "embed", "a", "-o", "b.npz"]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_help_of_every_command(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main = command(name)
    if main is not None:
        result = CliRunner().invoke(main, ["--help"])
        assert CliRunner().invoke(main, ["-h"]).output == result.output
        assert result.exit_code == 0, result.output
        assert "Usage:" in result.output
        return
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    for loaded in (name, f"{name}.__main__"):  # runpy warns of modules that are there already
        if loaded not in OURS:
            monkeypatch.delitem(sys.modules, loaded, raising=False)
    exit_code = None
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        exit_code = end.code
    assert not exit_code
    assert name in capsys.readouterr().out


@pages
def test_every_option_exists(page: Path) -> None:
    """Names of options and of subcommands, and recipes; values are not looked at."""
    wrong = []
    for name, *arguments in (call for where, call in CALLS if where == page):
        main = command(name)
        while isinstance(main, click.Group) and arguments and arguments[0].isidentifier():
            name, *arguments = f"{name} {arguments[0]}", *arguments[1:]
            main = main.commands.get(name.split()[-1])
            if main is None:
                wrong.append(name)
        if main is not None:
            known = {option for parameter in main.params for option in parameter.opts + parameter.secondary_opts}
            options = {part.split("=")[0] for part in arguments if re.match(r"--?[a-z]", part)}
            wrong += [f"{name} {option}" for option in sorted(options - known - {"--help"})]
        if name in RECIPES and arguments and re.fullmatch(r"[a-z0-9-]+", arguments[0]):
            recipe = ROOT / "training" / "recipes" / RECIPES[name] / f"{arguments[0]}.yaml"
            wrong += [] if recipe.is_file() else [f"{name} {arguments[0]}"]
    assert wrong == []


def heading_anchors(page: Path) -> set[str]:
    """What GitHub calls a page's headings in addresses."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and anchor not in heading_anchors(path)):
            broken.append(target)
    assert broken == []


def test_every_method_has_a_page_of_the_common_form() -> None:
    """The same headings in the same order, the module, the bundled models; the site shows it."""
    site = (ROOT / "docs" / "mkdocs.yml").read_text()
    models = index().models
    headings = {}
    for method, module in METHODS.items():
        text = (ROOT / "docs" / f"{method}.md").read_text()
        headings[method] = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert f"from hear_audioformer import {module}\n" in text
        assert [name for name, entry in models.items() if entry.method == method and f"`{name}`" not in text] == []
        assert f"- docs/{method}.md\n" in site
    assert len(headings["msm-mae"]) == 7
    assert headings == dict.fromkeys(METHODS, headings["msm-mae"])


def test_the_site_lists_every_page() -> None:
    listed = set(re.findall(r"- (?:.*: )?(docs/\S+\.md)$", (ROOT / "docs" / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")}
    notebooks = {str(page.with_suffix(".md").relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.ipynb")}
    assert listed == pages | notebooks


def exists(name: str) -> bool:
    """Whether a path of the repository is there; a module's dotted name may end in something that the module holds."""
    if "/" in name:
        return (ROOT / name).exists()
    path = ROOT / name.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    holder = path.parent.with_suffix(".py") if path.parent.with_suffix(".py").is_file() else path.parent / "__init__.py"
    return holder.is_file() and re.search(rf"\b{path.name}\b", holder.read_text()) is not None


@pages
def test_files_and_modules_exist(page: Path) -> None:
    named = set()
    for line in code(page):
        for word in re.split(r"[\s,:()\[\]'\"=]+", line):
            path = re.fullmatch(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+", word)
            module = re.fullmatch(rf"(?:{'|'.join(OURS)})(?:\.[a-z_]\w*)+", word)
            if (path or module) and not re.search(r"\b[A-Z]{3,}\b", word):
                named.add(word.rstrip("."))
    written = re.compile(r"^weights/[\w-]+\.safetensors$|^docs/generated/[\w-]+\.(md|png)$")  # what commands write
    assert [name for name in sorted(named) if not exists(name) and not written.match(name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_its_commands(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module whose ``main`` is click's is listed with a line; every listed module exists."""
    listed = commands.find(package)
    assert all(listed.values())
    files = (path for path in (ROOT / package).rglob("*.py") if "@click." in path.read_text())
    modules = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)
    assert sorted(listed) == sorted(module.removesuffix(".__main__") for module in modules)
    assert all(isinstance(command(name), click.Command) for name in listed)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_list_needs_no_torch(package: str) -> None:
    for name in (f"{package}/__main__.py", f"{package}/__init__.py", "corpora/commands.py", "corpora/__init__.py"):
        assert "torch" not in re.findall(r"^\s*(?:from|import) (\w+)", (ROOT / name).read_text(), re.MULTILINE)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for page in PAGES for line in code(page) if re.match(r"make [a-z]+", line)}
    assert named
    assert named <= targets


def test_make_fast_names_files() -> None:
    named = re.findall(r"\btests/\S+\.py", (ROOT / "Makefile").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
