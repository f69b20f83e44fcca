"""Pieces are music by the rules they were made by, and their MIDI files say what they hold."""

import random
from itertools import pairwise

import pytest

from corpora.synthesis.compose import FAMILIES, MODES, Piece, compose
from corpora.synthesis.midi import DRUMS, TICKS, Note, Tempo, variable_length, write


def parse(data: bytes) -> tuple[dict[int, float], dict[int, int], list[Note], int]:
    """A MIDI file's tempos, programs, notes and end: a reader that shares nothing with the writer."""
    assert data[:14] == b"MThd\0\0\0\6\0\0\0\1" + TICKS.to_bytes(2, "big")
    assert data[14:18] == b"MTrk"
    assert int.from_bytes(data[18:22], "big") == len(data) - 22
    position, tick = 22, 0
    tempos, channels, notes = {}, {}, []
    held: dict[tuple[int, int], tuple[int, int]] = {}
    while position < len(data):
        delta = 0
        while True:
            byte = data[position]
            position += 1
            delta = delta * 128 + byte % 128
            if byte < 128:
                break
        tick += delta
        status, channel = data[position] & 0xF0, data[position] & 0x0F
        if data[position : position + 2] == b"\xff\x51":
            tempos[tick] = 60e6 / int.from_bytes(data[position + 3 : position + 6], "big")
            position += 6
        elif data[position : position + 3] == b"\xff\x2f\0":
            assert position + 3 == len(data)
            position += 3
        elif status == 0xC0:
            channels[channel] = data[position + 1]
            position += 2
        else:
            key, velocity = data[position + 1], data[position + 2]
            if status == 0x90:
                assert (channel, key) not in held
                held[channel, key] = tick, velocity
            else:
                assert status == 0x80
                start, velocity = held.pop((channel, key))
                notes.append(Note(start, tick - start, channel, key, velocity))
            position += 3
    assert not held
    return tempos, channels, notes, tick


def test_midi_parses_back() -> None:
    notes = [Note(0, 480, 0, 60, 100), Note(480, 100, 0, 60, 1), Note(30, 40000, 9, 127, 127), Note(0, 1, 15, 0, 64)]
    data = write([Tempo(0, 120.0), Tempo(960, 61.5)], {0: 5, 15: 127}, notes, 50000)
    tempos, channels, parsed, end = parse(data)
    assert tempos == pytest.approx({0: 120.0, 960: 61.5}, rel=1e-5)
    assert channels == {0: 5, 15: 127}
    assert sorted(parsed) == sorted(notes)
    assert end == 50000


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (0x7F, "7f"), (0x80, "8100"), (0x3FFF, "ff7f"), (0x4000, "818000"), (0x0FFFFFFF, "ffffff7f")],
)
def test_variable_lengths_of_the_specification(value: int, encoded: str) -> None:
    assert variable_length(value).hex() == encoded


@pytest.mark.parametrize("note", [Note(0, 10, 0, 128, 64), Note(0, 10, 0, 60, 0), Note(0, 0, 0, 60, 64)])
def test_midi_refuses_what_is_no_note(note: Note) -> None:
    with pytest.raises(ValueError, match="no MIDI note"):
        write([], {}, [note])


def seconds_of(piece: Piece) -> float:
    """How long a piece plays, by its tempos."""
    changes = [*piece.tempos, Tempo(piece.bars * piece.metre * TICKS, 1.0)]
    return sum((after.start - before.start) / TICKS * 60 / before.beats for before, after in pairwise(changes))


def test_pieces_keep_their_key_last_long_enough_and_differ() -> None:
    pieces = [compose(random.Random(seed), 20.0) for seed in range(120)]
    for piece in pieces:
        assert piece.notes
        assert seconds_of(piece) >= 20.0
        scale = {(piece.root + step) % 12 for step in MODES[piece.mode]}
        assert {note.key % 12 for note in piece.notes if note.channel != DRUMS} <= scale
        assert piece.label in (*FAMILIES, "drums")
        tempos, channels, notes, end = parse(piece.midi())
        assert list(tempos) == [tempo.start for tempo in piece.tempos]
        assert channels == piece.programs
        assert sorted(notes) == sorted(piece.notes)
        assert end >= piece.bars * piece.metre * TICKS
    assert len({piece.label for piece in pieces}) > 10
    assert len({piece.root % 12 for piece in pieces}) == 12
    assert {piece.mode for piece in pieces} == set(MODES)
    assert len({program for piece in pieces for program in piece.programs.values()}) > 70
    assert max(piece.beats for piece in pieces) > 2 * min(piece.beats for piece in pieces)
    assert 30 < sum(piece.drums for piece in pieces) < 90


def test_a_piece_follows_from_its_seed() -> None:
    assert compose(random.Random(5), 10.0).midi() == compose(random.Random(5), 10.0).midi()
    assert compose(random.Random(5), 10.0).midi() != compose(random.Random(6), 10.0).midi()
