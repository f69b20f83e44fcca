"""Tasks: pitch and instrument family of single notes. Each fold has its own programs or SoundFont."""

from collections.abc import Iterator

from ...tasks.write import Clip
from .library import rank, share
from .material import Material
from .notes import NoteKey, play
from .sound import finish

SECONDS = 1.5
LOW, HIGH = 36, 96
# General MIDI family -> first of its eight programs, lowest and highest key
FAMILIES = {
    "piano": (0, 36, 96),
    "chromatic-percussion": (8, 55, 96),
    "organ": (16, 36, 96),
    "guitar": (24, 40, 84),
    "bass": (32, 36, 60),
    "strings": (40, 36, 96),
    "brass": (56, 40, 84),
    "reed": (64, 40, 88),
    "pipe": (72, 55, 96),
}
DRUMS = {47}  # timpani, which General MIDI lists among the strings
# programs that sound at another pitch than their key (measured by YIN at keys 48, 60 and 72), left out of pitch
OFF = {"opl3": {17, 18, 31}, "gm": {8, 9, 14, 16, 17, 18, 19, 31}}
FOLDS = ("fold00", "fold01", "fold02")  # one bank; even and odd programs of the other bank
PITCHES = 5  # notes of each key in a fold
NOTES = 33  # of each family in a fold


def programs(fold: str) -> list[tuple[str, int, str]]:
    """Bank, program and family of a fold's instruments."""
    number = FOLDS.index(fold)
    instruments = []
    for family, (first, _, _) in FAMILIES.items():
        for program in range(first, first + 8):
            if program not in DRUMS and (number == 0 or program % 2 == number - 1):
                instruments.append(("opl3" if number == 0 else "gm", program, family))
    return instruments


def _velocity(*words: object) -> int:
    return 60 + int(60 * share("velocity", *words))


def pitch(material: Material) -> Iterator[Clip]:
    """Equally many notes of each key, by programs with this key in their range."""
    for fold in FOLDS:
        chosen: list[NoteKey] = []
        for key in range(LOW, HIGH + 1):
            able = [
                (bank, program)
                for bank, program, label in programs(fold)
                if FAMILIES[label][1] <= key <= FAMILIES[label][2] and program not in OFF[bank]
            ]
            able.sort(key=lambda entry: rank("pitch", fold, key, *entry))
            chosen += [
                NoteKey(bank, program, key, _velocity("pitch", key, program)) for bank, program in able[:PITCHES]
            ]
        sounds = play(chosen, material.banks, material.work, SECONDS)
        for note in chosen:
            name = f"{note.bank}-{note.program:03d}-{note.key}"
            yield Clip(fold, name, finish(sounds[note]), [str(note.key)], f"{note.bank}-{note.program:03d}")


def family(material: Material) -> Iterator[Clip]:
    """Equally many notes of each family."""
    for fold in FOLDS:
        chosen: dict[NoteKey, str] = {}
        for label, (_, low, high) in FAMILIES.items():
            able = [
                (bank, program, key)
                for bank, program, own in programs(fold)
                if own == label
                for key in range(low, high + 1)
            ]
            able.sort(key=lambda entry: rank("family", *entry))
            for bank, program, key in able[:NOTES]:
                chosen[NoteKey(bank, program, key, _velocity("family", key, program))] = label
        sounds = play(list(chosen), material.banks, material.work, SECONDS)
        for note, label in chosen.items():
            name = f"{note.bank}-{note.program:03d}-{note.key}"
            yield Clip(fold, name, finish(sounds[note]), [label], f"{note.bank}-{note.program:03d}")
