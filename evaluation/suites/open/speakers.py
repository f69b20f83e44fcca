"""Task 3: the speaker, one of 23. Test and training have different words."""

import hashlib
import re
from collections.abc import Iterator

from ...tasks.write import Clip
from .plan import Plan, scene
from .recordings import Library, Recording
from .signals import cut, normalised, tenth

PACKAGES = ("kajongg", "hedgewars-data")
VOICES = 23
SECONDS = 1.5  # three in four are shorter


def voice_and_word(recording: Recording) -> tuple[str, str] | None:
    """Voice and word by the path; None for other sounds."""
    folders = recording.folders
    if "voices" not in folders[:-1]:
        return None
    voice = "-".join(folders[folders.index("voices") + 1 :])
    return voice, re.sub(
        r"\d+$", "", recording.stem.lower()
    ) if recording.package == "hedgewars-data" else recording.stem


def is_test(word: str) -> bool:
    """Whether a word's SHA-1 is odd: half of all words, the same ones for every voice."""
    return hashlib.sha1(word.encode()).digest()[-1] % 2 == 1


def _clips(library: Library) -> Iterator[Clip]:
    for recording in library.of(*PACKAGES):
        if labels := voice_and_word(recording):
            voice, word = labels
            split = "test" if is_test(word) else "valid" if tenth("speaker", word) else "train"
            yield Clip(split, recording.name, normalised(cut(recording.samples(), SECONDS)), [voice], word)


# one count for both sides, as the independent implementation did not record them separately
PLANS = (Plan(scene("speaker", "accuracy", 1 / VOICES, SECONDS), PACKAGES, _clips, {("", ""): 1137}),)
