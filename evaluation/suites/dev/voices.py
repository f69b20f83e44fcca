"""Synthetic voices of flite and espeak-ng."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpora.synthesis.programs import ProgramError, run
from hear_audioformer import audio

from .sound import RATE, trim

PROGRAMS = ("espeak-ng", "flite")


@dataclass(frozen=True)
class Voice:
    """A voice of flite, or a variant of espeak-ng for any language; ``pitch`` has the program's own unit."""

    program: str
    name: str
    pitch: int
    speed: float

    @property
    def label(self) -> str:
        return f"{self.program}-{self.name.strip('+')}-{self.pitch}"

    def say(self, language: str, words: str, work: Path) -> np.ndarray:
        """Trimmed speech, float32 at 16 kHz. ``language`` is espeak-ng's code; flite's voices ignore it."""
        path = work / "said.wav"
        if self.program == "flite":
            options = ["--setf", f"int_f0_target_mean={self.pitch}", "--setf", f"duration_stretch={1 / self.speed:.3f}"]
            run(["flite", "-voice", self.name, *options, "-t", words, "-o", str(path)])
        else:
            rate = str(round(160 * self.speed))
            name = language + self.name
            run(["espeak-ng", "-v", name, "-p", str(self.pitch), "-s", rate, "-w", str(path), "--", words])
        spoken = trim(audio.read(path, RATE).numpy())
        path.unlink()
        if not len(spoken):
            raise ProgramError(f"{self.label}: said nothing for {words!r}")
        return spoken
