"""Task 2: the language of a recording, one of twelve. Test and training have different sources."""

import re
from collections.abc import Iterator

from ...tasks.write import Clip
from . import asterisk
from .plan import Plan, scene
from .recordings import Library, Recording
from .signals import cut, drawn, low_passed, normalised, tenth

CODES = ("be", "ca", "da", "de", "el", "en", "es", "fr", "it", "lt", "ru", "uk")
TRAIN = ("tuxpaint-stamps-default", "klettres-data")
TEST = ("ktuberling-data", "qabcs-data", *asterisk.PACKAGES)
SECONDS = 2.0  # nine in ten are shorter
CAP = 200  # clips of a language and side
SAME = {"en_GB": "en", "en_gb": "en"}
FOLDERS = {"klettres-data": "klettres", "ktuberling-data": "sounds", "qabcs-data": "abcs"}


def language(recording: Recording) -> str:
    """The language of a recording by its path; empty without one."""
    if recording.package in asterisk.PACKAGES:
        return asterisk.language(recording)
    if recording.package == "tuxpaint-stamps-default":
        match = re.search(r"_desc(?:_([A-Za-z_]+))?$", recording.stem)
        code = (match[1] or "en") if match else ""
    else:
        folders, folder = recording.folders, FOLDERS[recording.package]
        code = folders[folders.index(folder) + 1] if folder in folders[:-1] else ""
    return SAME.get(code, code)


def _clips(library: Library) -> Iterator[Clip]:
    spoken: dict[tuple[str, str], list[Recording]] = {}
    for recording in library.of(*TRAIN, *TEST):
        if (code := language(recording)) in CODES:
            spoken.setdefault(("train" if recording.package in TRAIN else "test", code), []).append(recording)
    for (side, code), recordings in spoken.items():
        chosen = drawn((recording.key for recording in recordings), CAP, "lang", side)
        for recording in recordings:
            if recording.key in chosen:
                split = "valid" if side == "train" and tenth(recording.key) else side
                pcm = normalised(low_passed(cut(recording.samples(), SECONDS)))
                yield Clip(split, recording.name, pcm, [code], f"{recording.package}/{code}")


# in the order of CODES
COUNTS = {
    "train": (621, 804, 370, 64, 552, 160, 897, 825, 100, 124, 876, 94),
    "test": (191, 192, 166, 250, 74, 817, 809, 1231, 1147, 167, 912, 364),
}
EXPECTED = {
    (side, code): min(count, CAP) for side, counts in COUNTS.items() for code, count in zip(CODES, counts, strict=True)
}
PLANS = (Plan(scene("lang", "mean_recall", 1 / len(CODES), SECONDS), (*TRAIN, *TEST), _clips, EXPECTED),)
