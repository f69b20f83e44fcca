"""Spoken words, one a file, labelled by the sounds that they are made of.

The command ``corpora.synthesis.render --words`` renders them. espeak-ng also says of which sounds a word is made, as
letters of the International Phonetic Alphabet; ``sound LETTER`` and, for the commonest two in a row, ``pair LETTERS``
are labels. Festival's and most of flite's voices are cut from recordings of people. Voices of ``HELD_OUT`` go into
the folder ``valid``, all others into ``train``.
"""

import random
import re
import subprocess
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from hear_audioformer import audio

from . import festival
from .programs import ProgramError, run
from .sentences import LEXICON, invented
from .solos import LANGUAGES
from .speakers import FLITE, INVENTED, READ

PROGRAMS = ("espeak-ng", "flite", "festival")
SECONDS = 0.75  # of a word, about
OWN_WORDS = 400  # invented ones of a language
LETTERS = (3, 11)  # of a word
PAIRS = 96  # labelled
MALE, FEMALE = "male voice", "female voice"
# Words of the development tasks, which nobody learns from.
DEVELOPMENT = """
    apple bamboo bridge candle circle copper dragon east eight feather five flower four garden green
    lantern letter listen mirror mountain nine north orange pocket red river seven silver six south stone
    summer thunder tiger water west white window winter wonder
"""
LEFT_OUT = frozenset(DEVELOPMENT.split())


class Speaker(NamedTuple):
    """A voice: its program, its name there, the language that it speaks, and man or woman."""

    program: str
    name: str
    language: str
    kind: str


SPOKEN = {  # Festival's voices -> language, kind, encoding of text
    "kal_diphone": ("en-us", MALE, "ascii"),
    "ked_diphone": ("en-us", MALE, "ascii"),
    "cmu_us_slt_arctic_hts": ("en-us", FEMALE, "ascii"),
    "lp_diphone": ("it", FEMALE, "latin-1"),
    "pc_diphone": ("it", MALE, "latin-1"),
    "suo_fi_lj_diphone": ("fi", FEMALE, "latin-1"),
    "hy_fi_mv_diphone": ("fi", MALE, "latin-1"),
    "czech_ph": ("cs", MALE, "iso-8859-2"),
    "czech_dita": ("cs", FEMALE, "iso-8859-2"),
    "czech_machac": ("cs", MALE, "iso-8859-2"),
    "czech_krb": ("cs", MALE, "iso-8859-2"),
    "upc_ca_ona_hts": ("ca", FEMALE, "latin-1"),
    "msu_ru_nsh_clunits": ("ru", MALE, "utf-8"),
}
COMPUTED = {
    MALE: ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "klatt", "klatt3"),
    FEMALE: ("f1", "f2", "f3", "f4", "f5"),
}
HELD_OUT = {"m3", "m7", "f2", "f5", "rms", "czech_ph"}
SHARES = {"festival": 0.45, "flite": 0.15, "espeak-ng": 0.4}


@dataclass(frozen=True)
class Word:
    """A file to render."""

    path: str  # inside the folder: train or valid, kind, voice, number
    seed: int
    speaker: Speaker
    text: str
    kind: str = "word"

    def source(self, bank: Path | None) -> "SpokenWord":
        """The file's content, chosen but not yet rendered."""
        return SpokenWord(self)


def plan(hours: float, seed: int) -> list[Word]:
    """All files of a run."""
    return [word(number, seed) for number in range(round(hours * 3600 / SECONDS))]


def word(number: int, seed: int) -> Word:
    """The file of a number."""
    rng = random.Random(f"{seed}/word/{number}")
    speaker = draw_speaker(rng)
    split = "valid" if speaker.name in HELD_OUT else "train"
    path = f"{split}/word/{speaker.name}/{seed}-{number:06d}.flac"
    return Word(path, rng.getrandbits(48), speaker, rng.choice(vocabulary(speaker.language)))


def draw_speaker(rng: random.Random) -> Speaker:
    """Any voice; a voice of espeak-ng speaks any of its languages."""
    program = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if program == "festival":
        name = rng.choice(list(SPOKEN))
        return Speaker(program, name, *SPOKEN[name][:2])
    if program == "flite":
        name = rng.choice(FLITE)
        return Speaker(program, name, "en-us", FEMALE if name == "slt" else MALE)
    kind = rng.choice((MALE, FEMALE))
    return Speaker(program, rng.choice(COMPUTED[kind]), rng.choice(READ + INVENTED), kind)


@cache
def vocabulary(language: str) -> tuple[str, ...]:
    """The words of a language, the same on every machine: those of its sentences, and invented ones."""
    base = language.split("-")[0]
    words = set(re.findall(r"[^\W\d_]+", " ".join(LEXICON.get(base, ())).lower()))
    if base != "ru":
        rng = random.Random(f"words/{base}")
        words |= {invented(rng) for _ in range(OWN_WORDS)}
    least, most = LETTERS
    return tuple(sorted(word for word in words - LEFT_OUT if least <= len(word) <= most))


@cache
def sounds(language: str) -> dict[str, tuple[str, ...]]:
    """The sounds of each word of a language, letters of the International Phonetic Alphabet, as espeak-ng says them."""
    words = vocabulary(language)
    command = ["espeak-ng", "-q", "--ipa", "-v", language]
    done = subprocess.run(command, input="\n".join(words) + "\n", capture_output=True, encoding="utf-8", check=False)
    lines = done.stdout.strip("\n").split("\n")
    if done.returncode or len(lines) != len(words):
        raise ProgramError(
            f"espeak-ng says {len(lines)} words of {language}, expected {len(words)}: {done.stderr[-200:]}"
        )
    return {word: plain(line) for word, line in zip(words, lines, strict=True)}


def plain(transcription: str) -> tuple[str, ...]:
    """Sounds without stress, length, accents and changes of language."""
    bare = re.sub(r"\([^)]*\)", "", unicodedata.normalize("NFD", transcription))
    return tuple(letter for letter in bare if unicodedata.category(letter) in ("Ll", "Lo"))


@cache
def pairs() -> frozenset[str]:
    """The commonest pairs of sounds in all vocabularies."""
    counts: Counter[str] = Counter()
    for language in dict.fromkeys([*READ, *INVENTED, *(entry[0] for entry in SPOKEN.values())]):
        for letters in sounds(language).values():
            counts.update({first + second for first, second in pairwise(letters)})
    return frozenset(pair for pair, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:PAIRS])


class SpokenWord:
    """A word by a voice, at a pace and a pitch."""

    def __init__(self, word: Word) -> None:
        self.word, rng = word, random.Random(word.seed)
        self.pitch, self.pace = rng.uniform(0.0, 1.0), rng.uniform(0.75, 1.3)
        # A recorded voice through a longer or shorter throat: half of the files are played faster or slower.
        recorded = word.speaker.program != "espeak-ng"
        self.throat = rng.uniform(0.88, 1.14) if recorded and rng.random() < 0.5 else 1.0
        self.voice = f"{word.speaker.program} {word.speaker.name} {word.speaker.language} {word.text}"

    @property
    def label(self) -> str:
        """Labels, separated by ``;``."""
        speaker = self.word.speaker
        letters = sounds(speaker.language)[self.word.text]
        pairs_here = sorted({first + second for first, second in pairwise(letters)} & pairs())
        language = LANGUAGES.get(speaker.language.split("-")[0])
        tags = ["speech", *([language] if language else []), speaker.kind]
        return ";".join(
            [*tags, *(f"sound {letter}" for letter in sorted(set(letters))), *(f"pair {p}" for p in pairs_here)]
        )

    def render(self, folder: Path, sample_rate: int) -> Tensor:
        """The clip, (samples,); ``folder`` is for temporary files."""
        program, name, language, _ = self.word.speaker
        path, text = folder / "word.wav", self.word.text
        if program == "festival":
            festival.voice(name, SPOKEN[name][2]).say(text, self.pace, path)
        elif program == "flite":
            options = [f"int_f0_target_mean={80 + 140 * self.pitch:.1f}", f"duration_stretch={self.pace:.3f}"]
            run(["flite", "-voice", name, "--setf", options[0], "--setf", options[1], "-t", text, "-o", str(path)])
        else:
            pitch, pace = str(round(10 + 80 * self.pitch)), str(round(165 / self.pace))
            run(["espeak-ng", "-v", f"{language}+{name}", "-p", pitch, "-s", pace, "-w", str(path), "--", text])
        return trimmed(audio.read(path, round(sample_rate * self.throat)))


def trimmed(samples: Tensor) -> Tensor:
    """Without what is below a hundredth of the peak at either end."""
    loud = (samples.abs() > 0.01 * samples.abs().max()).nonzero()
    return samples[int(loud[0]) : int(loud[-1]) + 1] if len(loud) else samples
