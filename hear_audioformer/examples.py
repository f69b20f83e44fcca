"""Labelled recordings: a folder for each label, or a CSV of paths and labels."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .formats import EXTENSIONS


@dataclass(frozen=True)
class Example:
    """A recording and what it is of.

    Attributes:
        group: what it has in common with others, such as a speaker or a session; empty for nothing. Groups are
            kept whole when the accuracy is estimated.
    """

    path: str
    label: str
    group: str = ""


def find_examples(place: str | Path) -> list[Example]:
    """The examples of a folder with a folder for each label, or of a CSV with the columns path and label.

    A column group may follow. Paths of a CSV are relative to it. There must be two labels with two recordings each.
    """
    place = Path(place)
    if place.is_dir():
        found = _of_folder(place)
    elif place.suffix.lower() == ".csv" and place.is_file():
        found = _of_csv(place)
    else:
        raise InputError(f"{place}: give a folder that holds a folder of recordings for each label, or a .csv")
    refuse_few(found, place)
    return found


def refuse_few(examples: list[Example], place: str | Path) -> None:
    """Refuses labels that nothing can be learnt about."""
    counts = Counter(example.label for example in examples)
    if len(counts) < 2:
        raise InputError(f"{place} has {len(counts)} labels with recordings: two are needed at least, such as "
                         f"{place}/dog/ and {place}/other/")  # fmt: skip
    if lonely := sorted(label for label, count in counts.items() if count < 2):
        raise InputError(f"{place}: {', '.join(lonely)}: one recording only; the accuracy needs two of each label")


def _of_folder(place: Path) -> list[Example]:
    folders = sorted(folder for folder in place.iterdir() if folder.is_dir() and folder.name[0] not in "._")
    return [
        Example(str(path), folder.name)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    ]


def _of_csv(place: Path) -> list[Example]:
    with open(place, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := {"path", "label"} - set(reader.fieldnames or ()):
            raise InputError(f"{place} has no column {', '.join(sorted(missing))}: its columns must be path and label")
        rows = [(row["path"], row["label"], row.get("group") or "") for row in reader]
    if empty := [number for number, row in enumerate(rows, 2) if not all(row[:2])]:
        raise InputError(f"{place}, line {empty[0]}: path or label is empty")
    return [Example(str(place.parent / path), label, group) for path, label, group in rows]
