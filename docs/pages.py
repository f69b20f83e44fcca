"""Copies what the site shows to build/pages, laid out as the repository is, so that links between pages hold.

python docs/pages.py && mkdocs build -f docs/mkdocs.yml --strict
"""

import json
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
SHOWN = ("*.md", "*.png", "*.css", "*.ogg", "*.ipynb")


def main() -> None:
    """README becomes the home page, each notebook a page beside itself."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for folder in ("docs", "weights"):
        for path in sorted(found for pattern in SHOWN for found in (ROOT / folder).rglob(pattern)):
            target = PAGES / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            if path.suffix == ".ipynb":
                target.with_suffix(".md").write_text(notebook(path))
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, PAGES / name)
    shutil.copy(ROOT / "README.md", PAGES / "index.md")
    for page in PAGES.rglob("*.md"):
        text = page.read_text()
        if not page.with_suffix(".ipynb").exists():  # links between pages lead to pages
            page.write_text(text.replace(".ipynb)", ".md)"))


def notebook(path: Path) -> str:
    """A notebook in Markdown: its text, its code, and what it printed when it was stored."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join("".join(output.get("text", [])) for output in cell["outputs"]).rstrip()
        if printed:
            parts.append(f"```text\n{printed}\n```")
    return "\n\n".join([*parts, f"[This page as a notebook]({path.name})"]) + "\n"


if __name__ == "__main__":
    main()
