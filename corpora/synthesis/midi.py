"""A writer of Standard MIDI files with one track of tempos, programs and notes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

TICKS = 480  # in a quarter note
DRUMS = 9  # the channel on which keys are drums


class Note(NamedTuple):
    """A note; times are in ticks."""

    start: int
    length: int
    channel: int
    key: int
    velocity: int


class Tempo(NamedTuple):
    """A tempo in quarter notes per minute, from a tick on."""

    start: int
    beats: float


def write(tempos: Sequence[Tempo], programs: Mapping[int, int], notes: Sequence[Note], end: int = 0) -> bytes:
    """A format-0 file that lasts until ``end`` at least. A repeated note ends before it starts again."""
    events: list[tuple[int, int, bytes]] = []  # tick, order within it, message
    for start, beats in tempos:
        events.append((start, 0, b"\xff\x51\x03" + round(60e6 / beats).to_bytes(3, "big")))
    for channel, program in programs.items():
        events.append((0, 1, bytes([0xC0 | channel, program])))
    for start, length, channel, key, velocity in notes:
        if not (0 <= key < 128 and 0 < velocity < 128 and length > 0):
            raise ValueError(f"no MIDI note: key {key}, velocity {velocity}, length {length}")
        events.append((start, 3, bytes([0x90 | channel, key, velocity])))
        events.append((start + length, 2, bytes([0x80 | channel, key, 0])))
    track, now = bytearray(), 0
    for tick, _, message in sorted(events):
        track += variable_length(tick - now) + message
        now = tick
    track += variable_length(max(0, end - now)) + b"\xff\x2f\0"
    header = b"MThd" + b"".join(value.to_bytes(size, "big") for value, size in ((6, 4), (0, 2), (1, 2), (TICKS, 2)))
    return header + b"MTrk" + len(track).to_bytes(4, "big") + bytes(track)


def variable_length(value: int) -> bytes:
    """MIDI's variable-length quantity: seven bits a byte, highest first; all bytes but the last are marked."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))
