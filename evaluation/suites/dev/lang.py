"""Task: the language of a short phrase. The test has other voices and other phrases than training."""

from collections.abc import Iterator

from corpora.synthesis.sentences import LEXICON

from ...tasks.write import Clip
from .library import rank, splits
from .material import Material
from .sound import cut, finish
from .voices import Voice

LANGUAGES = {"de": "de", "en": "en-gb", "es": "es", "fi": "fi", "fr": "fr-fr", "it": "it", "nl": "nl", "pl": "pl",
             "pt": "pt", "ru": "ru", "sv": "sv", "tr": "tr"}  # fmt: skip
TRAIN = [Voice("espeak-ng", name, pitch, speed) for name, pitch, speed in (
    ("+m1", 40, 1.0), ("+m4", 55, 1.1), ("+f1", 50, 0.95), ("+f3", 65, 1.05), ("+klatt2", 45, 1.0), ("+m6", 30, 0.9),
)]  # fmt: skip
TEST = [Voice("espeak-ng", name, pitch, speed) for name, pitch, speed in (
    ("+m3", 50, 1.05), ("+f2", 55, 1.1), ("+f5", 40, 0.9), ("+m8", 35, 1.0),
)]  # fmt: skip
SECONDS = 1.6  # at most, of a clip


def clips(material: Material) -> Iterator[Clip]:
    """Each phrase of the word lists by a few voices. Phrases with an odd index are for the test."""
    for language, code in LANGUAGES.items():
        phrases = [phrase for part in LEXICON[language] for phrase in part.split(",")]
        for index, phrase in enumerate(phrases):
            voices = TEST if index % 2 else TRAIN
            for voice in sorted(voices, key=lambda voice: rank("lang", phrase, voice.label))[
                : 3 if voices is TRAIN else 2
            ]:
                pcm = finish(cut(voice.say(code, phrase, material.work), 0.0, SECONDS))
                split = splits((language, phrase), voices is TEST)
                yield Clip(split, f"{language}-{index:02d}-{voice.label}", pcm, [language], f"{language}-{index:02d}")
