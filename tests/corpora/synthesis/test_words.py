"""Words and single notes: what a seed plans, that held-out voices stay apart, and what labels say.

What needs the synthesisers is skipped where they are missing; all else stands without them.
"""

# ruff: noqa: RUF001

import shutil
import sys
from pathlib import Path

import pytest
import torch

from corpora.synthesis import festival, keys, players, render, words
from corpora.synthesis.midi import Note
from corpora.synthesis.programs import ProgramError
from corpora.synthesis.solos import HELD_OUT, REGISTERS
from corpora.synthesis.speakers import FLITE, INVENTED, READ
from evaluation.suites.dev import word as dev_word

PLANNED = words.plan(0.5, 0)


def test_more_hours_begin_with_the_same_words() -> None:
    assert words.plan(0.6, 0)[: len(PLANNED)] == PLANNED
    assert len({item.path for item in PLANNED}) == len({item.seed for item in PLANNED}) == len(PLANNED) == 2400
    assert not {item.seed for item in PLANNED} & {item.seed for item in words.plan(0.5, 1)}


def test_no_held_out_voice_is_learnt_from() -> None:
    names = {split: {i.speaker.name for i in PLANNED if i.path.startswith(split)} for split in ("train", "valid")}
    assert names["valid"] == words.HELD_OUT
    everyone = {*words.SPOKEN, *FLITE, *(name for kind in words.COMPUTED.values() for name in kind)}
    assert names["train"] == everyone - words.HELD_OUT
    shares = {program: sum(i.speaker.program == program for i in PLANNED) / len(PLANNED) for program in words.SHARES}
    assert all(abs(shares[program] - share) < 0.04 for program, share in words.SHARES.items())


def test_vocabularies_leave_out_the_words_of_the_development_tasks() -> None:
    assert set(dev_word.WORDS.split()) == words.LEFT_OUT
    for language in (*READ, *INVENTED):
        vocabulary = words.vocabulary(language)
        assert not set(vocabulary) & words.LEFT_OUT
        assert len(vocabulary) >= (40 if language == "ru" else 300)
        assert vocabulary == tuple(sorted(set(vocabulary)))
    assert "umbrella" in words.vocabulary("en-us")
    assert words.vocabulary("en-us") == words.vocabulary("en-gb")


@pytest.mark.parametrize(
    ("transcription", "expected"),
    [
        ("wˈɪndoʊ", "wɪndoʊ"),
        ("f_i_n_ˈɛ_s_t__r_a", "finɛstra"),
        ("hˈɔːɹs", "hɔɹs"),
        ("(en)hˈaʊs(fr)", "haʊs"),
        ("ɲˈɛmʲɪt͡s", "ɲɛmɪts"),
    ],
)
def test_sounds_have_no_stress_length_or_marks(transcription: str, expected: str) -> None:
    assert words.plain(transcription) == tuple(expected)


def test_labels_say_which_sounds_a_word_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "sounds", lambda language: {"bakano": tuple("bakano")})
    monkeypatch.setattr(words, "pairs", lambda: frozenset({"ak", "no", "xy"}))
    spoken = words.SpokenWord(words.Word("p", 1, words.Speaker("festival", "lp_diphone", "it", words.FEMALE), "bakano"))
    expected = "speech;italian;female voice;sound a;sound b;sound k;sound n;sound o;pair ak;pair no"
    assert spoken.label == expected
    catalan = words.Speaker("festival", "upc_ca_ona_hts", "ca", words.FEMALE)
    assert words.SpokenWord(words.Word("p", 1, catalan, "bakano")).label.startswith("speech;female voice;sound a")


def test_silence_at_the_ends_is_cut() -> None:
    tone = torch.sin(torch.arange(100) * 0.7)
    cut = words.trimmed(torch.cat([torch.zeros(50), tone, 0.001 * torch.ones(30)]))
    assert 98 <= len(cut) <= 100
    assert len(words.trimmed(torch.zeros(8))) == 8


def fake_festival(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> festival.Voice:
    """A voice whose program is a few lines of Python."""
    program = tmp_path / "festival"
    program.write_text(f"#!{sys.executable}\nimport sys\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return festival.Voice("nobody", "utf-8")


def test_festival_stays_and_is_told_what_to_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    echo = f"""
for line in sys.stdin:
    with open({str(tmp_path / "heard")!r}, "a") as file:
        file.write(line)
    if "utt.save" in line:
        print("(said)", flush=True)
"""
    voice = fake_festival(monkeypatch, tmp_path, echo)
    voice.say("finestra", 1.25, tmp_path / "a.wav")
    voice.say("keittiössä", 0.8, tmp_path / "b.wav")
    heard = (tmp_path / "heard").read_text().splitlines()
    assert heard[0] == "(voice_nobody)"
    assert '"finestra"' in heard[1]
    assert "1.250" in heard[1]
    assert str(tmp_path / "a.wav") in heard[1]
    assert '"keittiössä"' in heard[2]
    with pytest.raises(ValueError, match="quotes"):
        voice.say('say "no"', 1.0, tmp_path / "c.wav")
    voice._process.kill()


def test_a_festival_that_ends_is_an_error_with_the_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    voice = fake_festival(monkeypatch, tmp_path, "sys.stdin.readline()\n")
    with pytest.raises(ProgramError, match="'finestra' by nobody"):
        voice.say("finestra", 1.0, tmp_path / "a.wav")


def test_a_festival_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(festival, "SECONDS", 0.2)
    voice = fake_festival(monkeypatch, tmp_path, "import time\ntime.sleep(60)\n")
    with pytest.raises(ProgramError, match="festival failed"):
        voice.say("finestra", 1.0, tmp_path / "a.wav")
    voice._process.kill()


def test_keys_alternate_and_programs_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    items = keys.plan(0.2, 3)
    assert len(items) == 480
    assert {item.key for item in items} == set(range(keys.LOWEST, keys.HIGHEST + 1))
    assert all((str(item.program) in HELD_OUT["notes"]) == item.path.startswith("valid/") for item in items)
    written: list[tuple[dict[int, int], list[Note]]] = []
    monkeypatch.setattr(keys, "write", lambda tempos, programs, notes, end: written.append((programs, notes)) or b"")
    monkeypatch.setattr(keys, "play", lambda midi, bank, room, folder, rate: torch.ones(2 * rate))
    for item in items[:80]:
        played = item.source(Path("bank"))
        assert played.label.endswith(f";note {item.key}")
        low, high = REGISTERS[played.label.split(";")[2]]
        assert low <= item.key <= high
        assert len(played.render(Path("nowhere"), 16000)) == 24000
        programs, notes = written[-1]
        assert programs == {0: item.program}
        assert [note.key for note in notes] == [item.key]


def test_the_command_renders_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.corpora.synthesis.test_render import listed, rendered

    monkeypatch.setattr(render, "need", lambda names: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # of this whole process
    monkeypatch.setattr(players, "find_bank", lambda given: Path("bank"))
    monkeypatch.setattr(words, "sounds", lambda language: {word: tuple("ba") for word in words.vocabulary(language)})
    monkeypatch.setattr(words, "pairs", lambda: frozenset({"ba"}))
    hiss = lambda self, folder, rate: torch.rand(rate, generator=torch.Generator().manual_seed(1)) - 0.5  # noqa: E731
    monkeypatch.setattr(words.SpokenWord, "render", hiss)
    monkeypatch.setattr(keys.PlayedKey, "render", hiss)
    assert rendered(tmp_path, 0.002, "--words").exit_code == 0
    assert rendered(tmp_path, 0.002, "--keys").exit_code == 0
    rows = listed(tmp_path)
    assert sum(row["kind"] == "word" for row in rows) == 10
    assert sum(row["kind"] == "key" for row in rows) == 5
    assert all("sound b" in row["label"] for row in rows if row["kind"] == "word")


needs = pytest.mark.skipif(not all(map(shutil.which, words.PROGRAMS)), reason="needs espeak-ng, flite and festival")


@needs
def test_a_word_of_each_program(tmp_path: Path) -> None:
    for program in words.SHARES:
        item = next(
            i for i in PLANNED if i.speaker.program == program and i.speaker.name in {"kal_diphone", "awb", "m1"}
        )
        try:
            samples = item.source(None).render(tmp_path, 16000)
        except ProgramError:
            pytest.skip("a voice of festival is missing")
        assert 0.1 < len(samples) / 16000 < 2.5
        assert samples.abs().max() > 0.01
