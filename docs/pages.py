"""Copies what the site shows to build/pages, laid out as the repository is, so that links between pages hold.

python docs/pages.py && mkdocs build -f docs/mkdocs.yml --strict
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "pages"
SHOWN = ("*.md", "*.png", "*.css", "*.ogg", "*.ipynb")


def main() -> None:
    """README becomes the home page."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for folder in ("docs", "weights"):
        for path in sorted(found for pattern in SHOWN for found in (ROOT / folder).rglob(pattern)):
            target = PAGES / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, PAGES / name)
    shutil.copy(ROOT / "README.md", PAGES / "index.md")


if __name__ == "__main__":
    main()
