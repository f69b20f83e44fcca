"""Tasks 4 and 5: pitch and instrument family of a note. Each sample bank is a fold."""

from collections.abc import Callable, Iterator

from ...tasks.write import Clip
from .banks import SUSTAIN
from .plan import Expected, Plan, scene
from .recordings import Library
from .signals import cut, normalised

BANKS = ("fluid-soundfont-gm", "freepats", "timgm6mb-soundfont")
FAMILIES = ("bass", "brass", "chromatic-percussion", "guitar", "organ", "piano", "pipe", "reed", "strings")
LOWEST, HIGHEST = 26, 108  # no gaps, as chroma follows from the index into the vocabulary; six notes are below a gap


def _clips(label: str, accept: Callable[[str], bool]) -> Callable[[Library], Iterator[Clip]]:
    def clips(library: Library) -> Iterator[Clip]:
        for recording in library.of(*BANKS):
            text = recording.labels.get(label, "")
            if accept(text):
                fold = f"fold{BANKS.index(recording.package):02}"
                group = f"{recording.package}/{recording.labels['preset']}"
                yield Clip(fold, recording.name, normalised(cut(recording.samples(), SUSTAIN)), [text], group)

    return clips


def _is_note(text: str) -> bool:
    return bool(text) and LOWEST <= int(text) <= HIGHEST


PITCHES: Expected = {("fold00", ""): 599, ("fold01", ""): 369, ("fold02", ""): 313}
COUNTS = (  # in the order of FAMILIES
    ("fold00", (48, 42, 63, 53, 81, 54, 39, 105, 70)),
    ("fold01", (12, 40, 28, 63, 27, 43, 17, 59, 48)),
    ("fold02", (15, 45, 10, 29, 32, 36, 17, 69, 12)),
)
KINDS: Expected = {
    (fold, family): count for fold, counts in COUNTS for family, count in zip(FAMILIES, counts, strict=True)
}
PLANS = (
    Plan(
        scene("pitch", "pitch", 1 / (HIGHEST - LOWEST + 1), SUSTAIN, folds=3),
        BANKS,
        _clips("pitch", _is_note),
        PITCHES,
    ),
    Plan(
        scene("family", "mean_recall", 1 / len(FAMILIES), SUSTAIN, folds=3),
        BANKS,
        _clips("family", FAMILIES.__contains__),
        KINDS,
    ),
)
