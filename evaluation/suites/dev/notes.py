"""Renders single notes by fluidsynth with SoundFonts that no evaluation uses."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpora.synthesis import midi, players
from corpora.synthesis.programs import ProgramError, run
from hear_audioformer import audio

from .sound import RATE

PROGRAMS = ("fluidsynth",)
FOLDER = Path("/usr/share/sounds/sf2")
BANKS = {  # name -> file, Debian package
    "opl3": ("OPL-3_FM_128M.sf2", "opl3-soundfont"),
    "gm": ("sf_GMbank.sf2", "csound-soundfont"),
}
BEATS = 120.0  # a minute: two quarter notes a second
SPACING = 4  # quarter notes from one onset to the next


@dataclass(frozen=True)
class NoteKey:
    """A note to render; on the drum channel the program is a kit."""

    bank: str
    program: int
    key: int
    velocity: int
    drum: bool = False


def find_banks() -> dict[str, Path]:
    """The paths of both SoundFonts; an error names the packages to install."""
    if missing := [package for file, package in BANKS.values() if not (FOLDER / file).is_file()]:
        raise ProgramError(f"SoundFonts are missing: on Debian or Ubuntu, apt install {' '.join(missing)}")
    return {name: players.find_bank(FOLDER / file) for name, (file, _) in BANKS.items()}


def play(notes: Sequence[NoteKey], banks: dict[str, Path], work: Path, seconds: float) -> dict[NoteKey, np.ndarray]:
    """Each note alone without reverberation, held for two thirds of ``seconds``: float32 samples from its onset."""
    sounds: dict[NoteKey, np.ndarray] = {}
    takes: dict[tuple[str, int, bool], list[NoteKey]] = defaultdict(list)
    for note in notes:
        takes[note.bank, note.program, note.drum].append(note)
    step = SPACING * 60 / BEATS
    for (bank, program, drum), group in takes.items():
        channel = midi.DRUMS if drum else 0
        score = [
            midi.Note(
                index * SPACING * midi.TICKS,
                round(seconds * 2 / 3 * BEATS / 60 * midi.TICKS),
                channel,
                note.key,
                note.velocity,
            )
            for index, note in enumerate(group)
        ]
        data = midi.write([midi.Tempo(0, BEATS)], {channel: program}, score, len(group) * SPACING * midi.TICKS)
        whole = _rendered(data, banks[bank], work)
        for index, note in enumerate(group):
            start = round(index * step * RATE)
            sounds[note] = whole[start : start + round(seconds * RATE)]
    return sounds


def _rendered(data: bytes, bank: Path, work: Path) -> np.ndarray:
    score, sound = work / "notes.mid", work / "notes.wav"
    score.write_bytes(data)
    options = ["-R", "0", "-C", "0", "-g", "0.5", "-r", str(players.RATE), "-T", "wav", "-O", "float"]
    run(["fluidsynth", "-n", "-i", "-q", *options, "-F", str(sound), str(bank), str(score)])
    samples = audio.read(sound, RATE).numpy()
    sound.unlink()
    return samples
