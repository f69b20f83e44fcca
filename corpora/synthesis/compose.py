"""Random pieces of music, composed by rule from a seed: chords, melodies, rhythms and instruments.

They have what a model should learn to hear: keys, chord progressions, phrases that return, metre, registers, and every
General MIDI program. All of it is new, so it infringes nobody's rights.
"""

import random
from dataclasses import dataclass, field

from .midi import DRUMS, TICKS, Note, Tempo, write

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
PROGRESSIONS = ("0345", "0533", "0453", "0354", "5304", "0414", "0625", "3625", "0006", "1400", "0000", "0246", "0563")
METRES = (4, 4, 4, 4, 3, 3, 2, 5)  # quarters in a bar
FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe",
    "synth lead", "synth pad", "synth effects", "ethnic", "percussive", "sound effects",
)  # fmt: skip
MELODY_FAMILIES = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 13)
CHORD_FAMILIES = (0, 0, 2, 3, 5, 6, 11)
KICK, SNARE, CLOSED, OPEN, RIDE, CRASH = 36, 38, 42, 46, 51, 49
PERCUSSION = (37, 39, 54, 56, 60, 62, 64, 69, 70, 75)


@dataclass
class Piece:
    """A piece: its key, metre, tempos, chords and instruments, and its notes."""

    root: int  # key of the tonic, in the octave below middle C
    mode: str
    metre: int
    beats: float  # a minute, at the start
    bars: int
    chords: list[int]  # degree of each bar
    tempos: list[Tempo] = field(default_factory=list)
    programs: dict[int, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The family of the first instrument, or drums."""
        return FAMILIES[self.programs[min(self.programs)] // 8] if self.programs else "drums"

    @property
    def drums(self) -> bool:
        """Whether the piece has drums."""
        return any(note.channel == DRUMS for note in self.notes)

    def key(self, degree: int, octave: int = 0) -> int:
        """The key of a degree of the scale (0 is the tonic), kept within the range of most instruments."""
        scale = MODES[self.mode]
        key = self.root + scale[degree % 7] + 12 * (degree // 7 + octave)
        while key > 100:
            key -= 12
        while key < 24:
            key += 12
        return key

    def add(self, start: float, length: float, channel: int, key: int, velocity: int) -> None:
        """Adds a note; start and length are in quarters."""
        ticks = max(1, round(length * TICKS))
        self.notes.append(Note(round(start * TICKS), ticks, channel, key, min(127, max(1, velocity))))

    def midi(self) -> bytes:
        """The piece as a MIDI file."""
        return write(self.tempos, self.programs, self.notes, self.bars * self.metre * TICKS)


def compose(rng: random.Random, seconds: float) -> Piece:
    """A piece of at least this duration, with at least one of melody, chords, bass and drums."""
    metre, beats = rng.choice(METRES), rng.uniform(56.0, 190.0)
    late = beats * (rng.uniform(0.8, 1.25) if rng.random() < 0.3 else 1.0)  # of the second half
    bars = int(seconds * max(beats, late) / 60 / metre) + 1
    verses = [[int(degree) for degree in rng.choice(PROGRESSIONS)] for _ in range(2)]
    chords = [verses["AABA"[bar // 4 % 4] == "B"][bar % 4] for bar in range(bars)]
    piece = Piece(rng.randint(48, 59), rng.choice(list(MODES)), metre, beats, bars, chords)
    piece.tempos = [Tempo(0, beats)] + [Tempo(bars // 2 * metre * TICKS, late)] * (late != beats)
    parts = {_melody: 0.8, _chords: 0.7, _bass: 0.6, _drums: 0.5}
    chosen = [part for part, odds in parts.items() if rng.random() < odds] or [rng.choice(list(parts))]
    if _melody in chosen and rng.random() < 0.25:
        chosen.append(_melody)
    for channel, part in enumerate(chosen):
        part(piece, channel, rng)
    return piece


def _program(family: int, rng: random.Random) -> int:
    return 8 * family + rng.randrange(8)


def _melody(piece: Piece, channel: int, rng: random.Random) -> None:
    """A walk on the scale that meets a chord tone in every bar. Phrases of four bars repeat as AABA."""
    piece.programs[channel] = _program(rng.choice(MELODY_FAMILIES), rng)
    octave, legato = rng.choice((0, 1, 1, 2)), rng.uniform(0.4, 1.0)
    lengths = rng.choice(((0.5, 0.5, 1.0), (1.0, 1.0, 2.0), (0.25, 0.25, 0.5, 1.0), (1 / 3, 1 / 3, 1.0), (0.75, 0.25)))
    rests = rng.uniform(0.0, 0.25)
    phrases = [[_figure(piece.metre, lengths, rests, rng) for _ in range(4)] for _ in range(2)]
    for bar in range(piece.bars):
        degree = piece.chords[bar] + rng.choice((0, 2, 4)) * (bar % 4 == 0)
        for start, length, leap, loud in phrases["AABA"[bar // 4 % 4] == "B"][bar % 4]:
            degree += leap
            degree -= 7 * (degree > 9) - 7 * (degree < -4)
            velocity = int(70 + 30 * loud + 10 * (start == 0))
            piece.add(bar * piece.metre + start, length * legato, channel, piece.key(degree, octave), velocity)


def _figure(
    metre: int, lengths: tuple[float, ...], rests: float, rng: random.Random
) -> list[tuple[float, float, int, float]]:
    """One bar of a melody: start, length, leap in degrees, loudness."""
    figure, now = [], 0.0
    while now < metre - 1e-6:
        length = min(rng.choice(lengths), metre - now)
        if rng.random() >= rests:
            figure.append((now, length, rng.choice((-3, -2, -1, -1, -1, 0, 1, 1, 1, 2, 4)), rng.random()))
        now += length
    return figure


def _chords(piece: Piece, channel: int, rng: random.Random) -> None:
    """Triads or seventh chords: held, on the beat, off the beat or broken."""
    piece.programs[channel] = _program(rng.choice(CHORD_FAMILIES), rng)
    voices = rng.choice(((0, 2, 4), (0, 2, 4), (0, 4, 9), (0, 2, 4, 6), (0, 4, 7)))
    style, octave, velocity = rng.choice(("held", "beat", "off", "broken")), rng.choice((0, 0, 1)), rng.randint(50, 85)
    step = rng.choice((0.25, 0.5, 0.5, 1 / 3))
    for bar, degree in enumerate(piece.chords):
        start = bar * piece.metre
        keys = [piece.key(degree + voice, octave) for voice in voices]
        if style == "broken":
            for index in range(round(piece.metre / step)):
                piece.add(start + index * step, step, channel, keys[index % len(keys)], velocity + rng.randint(-8, 8))
            continue
        first, length = {"held": (0.0, piece.metre - 0.05), "beat": (0.0, 0.9), "off": (0.5, 0.4)}[style]
        for beat in range(1 if style == "held" else piece.metre):
            for key in keys:
                piece.add(start + first + beat, length, channel, key, velocity + rng.randint(-6, 6))


def _bass(piece: Piece, channel: int, rng: random.Random) -> None:
    """Roots, roots and fifths, or a walk through the chord."""
    piece.programs[channel] = _program(4, rng)
    style, velocity = rng.choice(((0,), (0, 4), (0, 2, 4, 5), (0, 0, 7))), rng.randint(75, 105)
    step = rng.choice((0.5, 1.0, 1.0, 2.0))
    for bar, degree in enumerate(piece.chords):
        for index in range(max(1, int(piece.metre / step))):
            key = piece.key(degree + style[index % len(style)], -1)
            piece.add(bar * piece.metre + index * step, step * 0.9, channel, key, velocity + rng.randint(-8, 8))


def _drums(piece: Piece, channel: int, rng: random.Random) -> None:
    """A groove of sixteenths for the whole piece, with a fill at the end of every fourth bar."""
    steps = 4 * piece.metre
    cymbal = rng.choice((CLOSED, CLOSED, RIDE, 70))
    every = rng.choice((1, 2, 2, 4))
    kicks = {0, *(step for step in range(0, steps, 2) if rng.random() < 0.25)}
    snares = {*range(4, steps, 8), *(step for step in range(steps) if rng.random() < 0.06)}
    others = {step: rng.choice(PERCUSSION) for step in range(steps) if rng.random() < 0.08}
    for bar in range(piece.bars):
        for step in range(steps):
            hits = [KICK] * (step in kicks) + [SNARE] * (step in snares) + [cymbal] * (step % every == 0)
            hits += [key for position, key in others.items() if position == step]
            hits += [rng.choice((41, 45, 48, SNARE))] * (bar % 4 == 3 and step >= steps - 4)
            hits += [CRASH] * (bar % 8 == 0 and step == 0) + [OPEN] * (bar % 4 == 1 and step == steps - 2)
            for key in dict.fromkeys(hits):
                velocity = rng.randint(60, 90) + 20 * (step % 4 == 0)
                piece.add(bar * piece.metre + step / 4, 0.2, DRUMS, key, velocity)
