"""Speech from a seed: a voice of espeak-ng or flite, its pitch and speed, and a text."""

import random
from pathlib import Path

import torch
from torch import Tensor

from hear_audioformer import audio

from .programs import ProgramError, run
from .sentences import text

PROGRAMS = ("espeak-ng", "flite")
READ = (
    "en-us", "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "de", "fr-fr", "fr-be", "es", "es-419", "it",
    "pt", "pt-br", "nl", "pl", "sv", "fi", "ru", "tr",
)  # fmt: skip
INVENTED = (  # languages without a word list: their voices read numbers and invented words
    "af", "ca", "cs", "cy", "da", "eo", "et", "eu", "hr", "hu", "id", "is", "la", "lt", "lv", "ms", "mt", "nb", "ro",
    "sk", "sl", "sq", "sw", "vi",
)  # fmt: skip
VARIANTS = ("", *(f"+m{n}" for n in range(1, 9)), *(f"+f{n}" for n in range(1, 6)), "+croak", "+whisper", "+klatt")
FLITE = ("kal16", "awb", "rms", "slt")
WORDS_A_MINUTE = 240  # faster than any voice here reads these texts on average


class Speech:
    """Speech of some seconds.

    Args:
        seed: fixes the voice and the words.
        seconds: length of the clip; longer speech is cut off.
    """

    def __init__(self, seed: int, seconds: float) -> None:
        self.rng = random.Random(seed)
        self.seconds = seconds
        self.program = "flite" if self.rng.random() < 0.15 else "espeak-ng"
        if self.program == "flite":
            self.label, self.name = "en-us", self.rng.choice(FLITE)
            self.pitch, self.speed = self.rng.uniform(80.0, 220.0), self.rng.uniform(0.75, 1.4)
            self.voice = f"flite {self.name} pitch={self.pitch:.0f} stretch={self.speed:.2f}"
        else:
            self.label = self.rng.choice(INVENTED if self.rng.random() < 0.3 else READ)
            self.name = self.label + self.rng.choice(VARIANTS)
            self.pitch, self.speed = self.rng.randint(10, 90), self.rng.randint(110, 230)
            self.voice = f"espeak-ng {self.name} pitch={self.pitch} speed={self.speed}"
        self.language = self.label

    def render(self, folder: Path, sample_rate: int) -> Tensor:
        """The clip, (samples,); ``folder`` is for temporary files. Call it once."""
        length, speech = round(self.seconds * sample_rate), torch.zeros(0)
        for part in range(20):
            words = text(self.language, int(self.seconds / 60 * WORDS_A_MINUTE) + 1, self.rng)
            speech = torch.cat([speech, self._say(words, folder / f"{part}.wav", sample_rate)])
            if len(speech) >= length:
                return speech[:length]
        raise ProgramError(f"{self.voice}: says next to nothing")

    def _say(self, words: str, path: Path, sample_rate: int) -> Tensor:
        if self.program == "flite":
            pitch, stretch = f"int_f0_target_mean={self.pitch:.1f}", f"duration_stretch={self.speed:.3f}"
            run(["flite", "-voice", self.name, "--setf", pitch, "--setf", stretch, "-t", words, "-o", str(path)])
        else:
            pitch, speed = str(self.pitch), str(self.speed)
            run(["espeak-ng", "-v", self.name, "-p", pitch, "-s", speed, "-w", str(path), "--", words])
        return audio.read(path, sample_rate)
