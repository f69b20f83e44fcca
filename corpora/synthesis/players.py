"""Music from a seed: a random piece, played by fluidsynth through a SoundFont that no evaluation uses."""

import random
import re
from pathlib import Path

from torch import Tensor

from hear_audioformer import audio

from .compose import compose
from .programs import ProgramError, run

PROGRAMS = ("fluidsynth",)
BANK = Path("/usr/share/sounds/sf2/OPL-3_FM_128M.sf2")  # Debian's opl3-soundfont
RATE = 44100  # of the rendering: fluidsynth has no anti-aliasing filter for rates below that of the samples
EVALUATION = {
    "fluidr3": "fluid-soundfont-gm",
    "fluidsoundfont": "fluid-soundfont-gm",
    "timgm6mb": "timgm6mb-soundfont",
    "freepats": "freepats",
    "musescore": "musescore-general-soundfont, made from fluid-soundfont-gm",
    "msbasic": "musescore-general-soundfont, made from fluid-soundfont-gm",
}


class Music:
    """A piece of some seconds.

    Args:
        seed: fixes the piece.
        seconds: length of the clip.
        bank: a SoundFont that ``find_bank`` accepts.
    """

    def __init__(self, seed: int, seconds: float, bank: Path) -> None:
        rng = random.Random(seed)
        self.seconds, self.bank = seconds, bank
        self.piece = compose(rng, seconds)
        self.room = rng.random() < 0.5
        self.label = self.piece.label
        programs = "+".join([*map(str, self.piece.programs.values()), *["drums"] * self.piece.drums])
        mode, beats = self.piece.mode, self.piece.beats
        self.voice = f"programs={programs} key={self.piece.root % 12} mode={mode} tempo={beats:.0f}"

    def render(self, folder: Path, sample_rate: int) -> Tensor:
        """The clip, (samples,); ``folder`` is for temporary files."""
        samples = play(self.piece.midi(), self.bank, self.room, folder, sample_rate)
        return samples[: round(self.seconds * sample_rate)]


def play(midi: bytes, bank: Path, room: bool, folder: Path, sample_rate: int) -> Tensor:
    """Renders a MIDI file by fluidsynth, with or without reverberation and chorus: (samples,)."""
    score, sound = folder / "piece.mid", folder / "piece.wav"
    score.write_bytes(midi)
    wet = "1" if room else "0"
    options = ["-o", "synth.dynamic-sample-loading=1", "-R", wet, "-C", wet, "-g", "0.4", "-r", str(RATE)]
    formats = ["-T", "wav", "-O", "float", "-F", str(sound)]
    run(["fluidsynth", "-n", "-i", "-q", *options, *formats, str(bank), str(score)])
    if not sound.exists():
        raise ProgramError(f"fluidsynth wrote nothing: is {bank} a SoundFont?")
    return audio.read(sound, sample_rate)


def find_bank(given: Path | None) -> Path:
    """The SoundFont to use: the one given, or Debian's opl3-soundfont. Refuses those of the evaluation."""
    bank = given or BANK
    if not bank.is_file():
        help_ = "" if given else "; apt install opl3-soundfont, or name another with --soundfont"
        raise ProgramError(f"{bank}: no such SoundFont{help_}")
    for name in (str(bank), str(bank.resolve()), bank_name(bank)):
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        for mark, package in EVALUATION.items():
            if mark in plain:
                raise ProgramError(
                    f"{bank}: the evaluation uses this bank ({package}); what is trained on it would be"
                    " tested on what it knows"
                )
    return bank


def bank_name(bank: Path) -> str:
    """The name inside a SoundFont file; empty if it has none."""
    with open(bank, "rb") as file:
        head = file.read(4096)
    tag = head.find(b"INAM")
    if head[:4] != b"RIFF" or tag < 0:
        return ""
    size = int.from_bytes(head[tag + 4 : tag + 8], "little")
    return head[tag + 8 : tag + 8 + size].split(b"\0")[0].decode("latin-1")
