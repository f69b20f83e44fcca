"""Single sounds: what a seed plans, that held-out voices and instruments stay apart, and what is sent to be played."""

import random
from pathlib import Path

import pytest
import torch

from corpora.synthesis import players, render, solos
from corpora.synthesis.midi import DRUMS, Note
from corpora.synthesis.programs import ProgramError
from corpora.synthesis.solos import HELD_OUT, REGISTERS, STROKES, VOICES, NoteSolo, SpokenSolo, StrokeSolo


def test_more_hours_begin_with_the_same_files() -> None:
    few, many = solos.plan(0.2, 3), solos.plan(0.4, 3)
    for kind in solos.KINDS:
        assert [s for s in many if s.kind == kind][:24] == [s for s in few if s.kind == kind]
    assert len(few) == 72
    assert len({item.path for item in many}) == len({item.seed for item in many}) == len(many)
    assert not {item.seed for item in many} & {item.seed for item in solos.plan(0.4, 4)}


def test_what_is_held_out_is_in_no_training_file() -> None:
    items = solos.plan(6.0, 0)
    for kind in solos.KINDS:
        heard = {
            split: {i.variant for i in items if i.kind == kind and i.path.startswith(split)}
            for split in ("train", "valid")
        }
        assert heard["valid"] == HELD_OUT[kind]
        assert not heard["train"] & heard["valid"]
    tags = {split: {tag for i in items if i.path.startswith(split) for tag in i.tags} for split in ("train", "valid")}
    assert tags["train"] == tags["valid"]
    assert {*solos.LANGUAGES.values(), *VOICES, *REGISTERS, *STROKES, "piano", "ethnic"} <= tags["train"]


def notes_of(monkeypatch: pytest.MonkeyPatch, solo: solos.Solo) -> tuple[dict[int, int], list[Note]]:
    """What a solo hands to the MIDI writer."""
    written: list[tuple[dict[int, int], list[Note]]] = []
    monkeypatch.setattr(solos, "write", lambda tempos, programs, notes, end: written.append((programs, notes)) or b"")
    source = solo.source(Path("bank"))
    assert isinstance(source, NoteSolo | StrokeSolo)
    source.midi(random.Random(0))
    return written[0]


def test_an_instrument_plays_in_its_register(monkeypatch: pytest.MonkeyPatch) -> None:
    for item in [i for i in solos.plan(0.5, 0) if i.kind == "notes"]:
        programs, notes = notes_of(monkeypatch, item)
        assert programs == {0: int(item.variant)}
        low, high = REGISTERS[item.tags[2]]
        assert notes
        assert all(low <= note.key <= high and note.channel == 0 for note in notes)


def test_a_drum_is_struck_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for item in [i for i in solos.plan(0.5, 0) if i.kind == "strokes"]:
        _, notes = notes_of(monkeypatch, item)
        assert {(note.channel, note.key) for note in notes} == {(DRUMS, int(item.variant))}
        assert int(item.variant) in STROKES[item.tags[1]]


def test_a_voice_speaks_its_language() -> None:
    for item in [i for i in solos.plan(0.5, 0) if i.kind == "voice"]:
        source = item.source(None)
        assert isinstance(source, SpokenSolo)
        assert source.name == f"{source.language}+{item.variant}"
        assert solos.LANGUAGES[source.language.split("-")[0]] in item.tags
        assert item.variant in VOICES[item.tags[2]]
        assert source.label == ";".join(item.tags)


def test_the_command_makes_and_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.corpora.synthesis.test_render import listed, rendered

    monkeypatch.setattr(render, "need", lambda names: None)
    monkeypatch.setattr(players, "find_bank", lambda given: Path("bank"))
    hiss = lambda self, folder, rate: torch.rand(rate, generator=torch.Generator().manual_seed(1)) - 0.5  # noqa: E731
    monkeypatch.setattr(solos.SpokenSolo, "render", hiss)
    monkeypatch.setattr(solos.PlayedSolo, "render", hiss)
    assert rendered(tmp_path, 0.02, "--solos").exit_code == 0
    rows = listed(tmp_path)
    assert {row["path"]: row["label"] for row in rows} == {i.path: ";".join(i.tags) for i in solos.plan(0.02, 0)}
    monkeypatch.setattr(render, "need", needed)
    assert "apt install espeak-ng fluidsynth fluidsynth" in rendered(tmp_path / "x", 0.02, "--solos").output


def needed(names: list[str]) -> None:
    raise ProgramError(f"apt install {' '.join(names)}")
