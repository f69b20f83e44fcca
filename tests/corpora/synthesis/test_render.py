"""Rendered speech and music: what is said and played follows from the seed, files are made once, banks are checked.

What needs the synthesisers is skipped where they are missing; all else stands without them.
"""

import csv
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from torch import Tensor

from corpora.sources import user_files
from corpora.synthesis import players, programs, render, sentences
from corpora.synthesis.programs import ProgramError
from corpora.synthesis.speakers import FLITE, INVENTED, READ, VARIANTS, Speech


def test_texts() -> None:
    for language in (*READ, *INVENTED):
        words = sentences.text(language, 40, random.Random(1))
        assert len(words.split()) >= 40
        assert words == sentences.text(language, 40, random.Random(1))
        assert words != sentences.text(language, 40, random.Random(2))
    assert {language.split("-")[0] for language in READ} == set(sentences.LEXICON)
    assert not {language.split("-")[0] for language in INVENTED} & set(sentences.LEXICON)


def test_voices_are_many_and_follow_from_the_seed() -> None:
    voices = [Speech(seed, 5.0) for seed in range(600)]
    assert [voice.voice for voice in voices] == [Speech(seed, 5.0).voice for seed in range(600)]
    assert {voice.label for voice in voices} == {*READ, *INVENTED}
    assert 40 < sum(voice.program == "flite" for voice in voices) < 150
    assert {voice.name for voice in voices if voice.program == "flite"} == set(FLITE)
    assert len({voice.name for voice in voices}) > 200


def bank(path: Path, name: str) -> Path:
    """The first bytes of a SoundFont that calls itself so."""
    title = name.encode() + b"\0" * (2 - len(name) % 2)
    info = b"INFOifil\4\0\0\0\2\0\1\0INAM" + len(title).to_bytes(4, "little") + title
    path.write_bytes(b"RIFF\0\0\0\0sfbkLIST" + len(info).to_bytes(4, "little") + info)
    return path


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("FluidR3_GM.sf2", ""), ("TimGM6mb.sf2", ""), ("FreePatsGM-20221026.sf2", ""), ("MuseScore_General.sf3", ""),
        ("mine.sf2", "Fluid R3 GM"), ("mine.sf2", "TimGM6mb1.sf2"), ("mine.sf2", "MuseScore General"),
        ("mine.sf2", "FreePats General MIDI"), ("fluid-soundfont.sf2", ""), ("MS Basic.sf3", ""),
    ],
)  # fmt: skip
def test_banks_of_the_evaluation_are_refused(tmp_path: Path, file: str, name: str) -> None:
    path = bank(tmp_path / file, name)
    link = tmp_path / "innocent.sf2"
    link.symlink_to(path)
    for way in (path, link):
        with pytest.raises(ProgramError, match="the evaluation uses this bank"):
            players.find_bank(way)


def test_other_banks_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bank(tmp_path / "OPL-3.sf2", "OPL-3 FM 128M")
    assert players.find_bank(path) == path
    assert players.bank_name(path) == "OPL-3 FM 128M"
    monkeypatch.setattr(players, "BANK", path)
    assert players.find_bank(None) == path
    monkeypatch.setattr(players, "BANK", tmp_path / "none.sf2")
    with pytest.raises(ProgramError, match="apt install opl3-soundfont"):
        players.find_bank(None)
    with pytest.raises(ProgramError, match="no such SoundFont"):
        players.find_bank(tmp_path / "missing.sf2")


def test_programs_are_named_when_they_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramError, match="apt install espeak-ng flite"):
        programs.need(["espeak-ng", "flite"])
    done = CliRunner().invoke(render.main, [str(tmp_path / "out"), "--hours", "1", "--music"])
    assert done.exit_code == 2
    assert "apt install fluidsynth" in done.output
    assert not (tmp_path / "out").exists()
    with pytest.raises(ProgramError, match="espeak-ng: No such file"):
        programs.run(["espeak-ng"])


def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(ProgramError, match=r"failed \(1\): no such voice"):
        programs.run([sys.executable, "-c", "import sys; sys.exit('no such voice')"])


def test_plan() -> None:
    items = render.plan(0.1, 7, ("speech", "music"))
    assert [sum(item.kind == kind for item in items) for kind in ("speech", "music")] == [18, 6]
    assert len({item.seed for item in items}) == len({item.path for item in items}) == 24
    assert items[:18] == render.plan(0.2, 7, ("speech", "music"))[:18]
    assert items[:18] == render.plan(0.05, 7, ("speech",))
    assert not {item.seed for item in items} & {item.seed for item in render.plan(0.1, 8, ("speech", "music"))}
    assert len(render.plan(1e-4, 7, ("music",))) == 1


class Hum:
    """A voice that needs no program: noise of its seed; some seeds fail."""

    label, voice = "hum", "hum 1"
    fails: tuple[int, ...] = ()
    made: int = 0

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def render(self, folder: Path, sample_rate: int) -> Tensor:
        if self.seed in Hum.fails:
            raise ProgramError("has a cold")
        Hum.made += 1
        assert folder.is_dir()
        return torch.rand(sample_rate, generator=torch.Generator().manual_seed(self.seed)) + 1


@pytest.fixture
def hum(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Hum, "fails", ())
    monkeypatch.setattr(Hum, "made", 0)
    monkeypatch.setattr(render, "need", lambda names: None)
    monkeypatch.setattr(render.Item, "source", lambda item, bank: Hum(item.seed))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def rendered(out: Path, hours: float, *more: str) -> Result:
    return CliRunner().invoke(render.main, [str(out), "--hours", str(hours), "--speech", "--jobs", "3", *more])


def listed(out: Path) -> list[dict[str, str]]:
    with open(out / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.flac"))}


@pytest.mark.usefixtures("hum")
def test_render_makes_a_folder_that_the_corpus_takes(tmp_path: Path) -> None:
    assert rendered(tmp_path, 0.02, "--seed", "3").exit_code == 0
    rows = listed(tmp_path)
    items = render.plan(0.02, 3, ("speech",))
    assert [(row["path"], row["seed"]) for row in rows] == [(item.path, str(item.seed)) for item in items]
    assert {(row["kind"], row["label"], row["voice"]) for row in rows} == {("speech", "hum", "hum 1")}
    peaks = []
    for row in rows:
        audio, rate = soundfile.read(tmp_path / row["path"])
        assert (rate, audio.shape) == (16000, (16000,))
        assert abs(audio.mean()) < 1e-3
        assert abs(audio[-1]) < 1e-4
        peaks.append(20 * np.log10(np.abs(audio).max()))
    assert -15.1 < min(peaks) < max(peaks) < -0.9
    assert max(peaks) - min(peaks) > 3
    [source] = user_files(tmp_path / "manifest.csv")
    sounds = list(source.recordings(tmp_path))
    assert [(sound.file, sound.kind) for sound in sounds] == [(tmp_path / row["path"], "speech") for row in rows]


@pytest.mark.usefixtures("hum")
def test_render_goes_on_and_keeps_what_is_there(tmp_path: Path) -> None:
    assert rendered(tmp_path, 0.02).exit_code == 0
    before = contents(tmp_path)
    assert (len(before), Hum.made) == (8, 8)
    lost, kept = sorted(before)[2], tmp_path / sorted(before)[4]
    (tmp_path / lost).unlink()
    kept.write_bytes(b"my own")
    assert rendered(tmp_path, 0.03).exit_code == 0
    after = contents(tmp_path)
    assert (len(after), Hum.made) == (11, 12)
    assert after[lost] == before[lost]
    assert kept.read_bytes() == b"my own"
    assert rendered(tmp_path, 0.01, "--seed", "9").exit_code == 0
    assert len(listed(tmp_path)) == 15  # those of all runs
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.usefixtures("hum")
def test_one_failure_stops_nothing_and_is_told(tmp_path: Path) -> None:
    unlucky = render.plan(0.02, 0, ("speech",))[3]
    Hum.fails = (unlucky.seed,)
    done = rendered(tmp_path, 0.02)
    assert done.exit_code == 1
    assert f"{unlucky.path}: has a cold" in done.output
    assert len(listed(tmp_path)) == len(contents(tmp_path)) == 7


@pytest.mark.skipif(not all(map(shutil.which, ("espeak-ng", "flite"))), reason="needs espeak-ng and flite")
@pytest.mark.parametrize("program", ["espeak-ng", "flite"])
def test_real_speech(tmp_path: Path, program: str) -> None:
    seed = next(seed for seed in range(100) if Speech(seed, 3.0).program == program)
    audio = Speech(seed, 3.0).render(tmp_path, 16000)
    assert audio.shape == (48000,)
    assert audio.std() > 0.01
    assert torch.equal(audio, Speech(seed, 3.0).render(tmp_path, 16000))


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="needs espeak-ng")
@pytest.mark.parametrize("names", [READ, INVENTED, [f"en{variant}" for variant in VARIANTS]])
def test_real_voices_exist(tmp_path: Path, names: list[str]) -> None:
    for name in set(names):
        programs.run(["espeak-ng", "-v", name, "-w", str(tmp_path / "one.wav"), "1"])
        assert soundfile.info(tmp_path / "one.wav").frames > 1000, name


@pytest.mark.skipif(not (shutil.which("fluidsynth") and players.BANK.exists()), reason="needs fluidsynth and a bank")
def test_real_music(tmp_path: Path) -> None:
    audio = players.Music(4, 5.0, players.find_bank(None)).render(tmp_path, 16000)
    assert audio.shape == (80000,)
    assert audio.std() > 1e-3
    assert torch.equal(audio, players.Music(4, 5.0, players.BANK).render(tmp_path, 16000))
