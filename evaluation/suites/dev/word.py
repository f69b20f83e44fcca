"""Task: a short spoken word. Each fold has its own voice, as in the open suite's word tasks."""

from collections.abc import Callable, Iterator

from ...tasks.write import Clip
from .material import Material
from .sound import finish
from .voices import Voice

WORDS = """
    apple bamboo bridge candle circle copper dragon eight east feather five flower four garden green lantern letter
    listen mirror mountain nine north orange pocket red river seven silver six south stone summer thunder tiger
    water west white window winter wonder
"""
# espeak-ng's language and the voice; each task has four, one a fold
VOICES = (
    ("en-us", Voice("flite", "awb", 130, 1.0)),
    ("en-gb-scotland", Voice("espeak-ng", "+m3", 35, 1.0)),
    ("en-us", Voice("flite", "slt", 190, 1.1)),
    ("en-us", Voice("espeak-ng", "+f2", 60, 0.9)),
    ("en-us", Voice("flite", "rms", 95, 0.9)),
    ("en-029", Voice("espeak-ng", "+m7", 55, 1.15)),
    ("en-us", Voice("flite", "kal16", 115, 1.0)),
    ("en-gb-x-rp", Voice("espeak-ng", "+klatt4", 45, 1.05)),
)
FOLDS = tuple(f"fold{number:02d}" for number in range(4))


def clips(first: int) -> Callable[[Material], Iterator[Clip]]:
    """A generator of every word by four voices, from index ``first`` on."""

    def generate(material: Material) -> Iterator[Clip]:
        for fold, (language, voice) in zip(FOLDS, VOICES[first : first + len(FOLDS)], strict=True):
            for word in WORDS.split():
                pcm = finish(voice.say(language, word, material.work))
                yield Clip(fold, f"{word}-{voice.label}", pcm, [word], voice.label)

    return generate
