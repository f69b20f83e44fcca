"""Downloads packages and decodes their recordings to disk, each package whole or not at all, with its licences."""

import shutil
from pathlib import Path

import click

from corpora import catalogue, corpus
from corpora.sources import Package, Source

from .banks import Bank
from .notes import BANKS
from .recordings import NOTES, Library, uncoded


def fetch(out: Path, packages: set[str], jobs: int, mirror: str, suite: str) -> tuple[Library, list[str]]:
    """The library of these packages, and a line for each that failed. Fetches only missing packages."""
    folder = out / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [_source(name, mirror, suite) for name in coded(packages)]
    _, failed = corpus.run_steps(sources, folder, "flac", jobs)
    library = Library(folder)
    for package in packages - {package_of(line) for line in failed}:
        result = library.result(package)
        for name, text in result.licences.items():
            file = out / "licences" / result.package / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return library, failed


def coded(packages: set[str]) -> list[str]:
    """Debian's names of the packages. Without ffmpeg, which decodes G.722, the same prompts come as 8-kHz WAV."""
    names = [name for name in catalogue.SETS["eval"] if uncoded(name) in packages]
    if shutil.which("ffmpeg") or not any(name.endswith("-g722") for name in names):
        return names
    click.echo("Without ffmpeg, G.722 cannot be read: the same prompts as 8-kHz WAV are taken.", err=True)
    return [name.replace("-g722", "-wav") for name in names]


def package_of(line: str) -> str:
    """The package at the beginning of a line about a failure."""
    return uncoded(line.split(":")[0].removesuffix(NOTES))


def _source(name: str, mirror: str, suite: str) -> Source:
    return (Bank if name in BANKS else Package)(name, None, mirror, suite)
