"""Task 1: 42 words of a game by eight speakers: two tasks of four voices. Each fold has its own voice."""

from collections.abc import Callable, Iterator

from ...tasks.write import Clip
from .plan import Plan, scene
from .recordings import Library
from .signals import normalised

PACKAGE = "kajongg"
VOICES = ("female1", "female2", "male1", "male2")
WORDS = 42


def _clips(german: bool) -> Callable[[Library], Iterator[Clip]]:
    def clips(library: Library) -> Iterator[Clip]:
        for recording in library.of(PACKAGE):
            folders = recording.folders[recording.folders.index("voices") + 1 :]
            voice, is_german = folders[-1], folders[0] == "de"
            if is_german == german:
                fold = f"fold{VOICES.index(voice):02}"
                yield Clip(fold, recording.name, normalised(recording.samples()), [recording.stem], "-".join(folders))

    return clips


def _plan(name: str, german: bool, clips: int) -> Plan:
    task = scene(name, "accuracy", 1 / WORDS, seconds=None, folds=len(VOICES))
    return Plan(task, (PACKAGE,), _clips(german), {("", ""): clips})


PLANS = (_plan("word_de", True, 167), _plan("word_xx", False, 168))
