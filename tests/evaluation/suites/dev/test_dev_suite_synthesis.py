"""What clips of the development tasks are made with: voices, notes, drum strokes, and what every clip goes through."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.suites.dev import drum, drum_synthesis, notes, sound, voices, word
from evaluation.tasks.write import RATE
from tests.evaluation.corpus_of_noise import PEAK


def test_every_clip_has_the_same_peak_and_no_offset() -> None:
    quiet = (np.sin(np.arange(8000) / 7) * 100 + 900).astype(np.int16)
    for samples in (quiet, quiet.astype(np.float32) / 32768):
        finished = sound.finish(samples)
        assert finished.dtype == np.int16
        assert abs(np.abs(finished.astype(int)).max() - PEAK) <= 1
        assert abs(finished.mean()) < 0.001 * PEAK
    assert not sound.finish(np.zeros(100, np.int16)).any()
    assert len(sound.finish(np.zeros(0, np.int16))) == 0


def test_trim_and_cut() -> None:
    samples = np.concatenate([np.full(8000, 3.0), np.full(4000, 1000.0), np.full(8000, 9.0)])
    assert len(sound.trim(samples)) == 4000 + 2 * (RATE // 50) - 1
    assert len(sound.trim(np.zeros(100))) == 0
    inside = sound.cut(samples, 0.55, 0.1)
    assert len(inside) == 1600
    assert inside[0] == inside[-1] == 0
    assert inside[800] == 1000
    assert (sound.cut(samples, 0.0, 10.0) == samples).all()  # nothing was cut off, nothing is faded


def test_computed_strokes() -> None:
    """Each its own, the same each time, and of the length and pitch that its drum has."""
    for label in drum.KEYS:
        one, again, other, kit = (
            drum_synthesis.stroke(label, *which, 0.5) for which in ((1, 0), (1, 0), (1, 1), (2, 0))
        )
        assert (one == again).all()
        assert np.isfinite(one).all()
        assert len(one) == RATE // 2
        assert np.abs(one - other).max() > 1e-3
        assert np.abs(one - kit).max() > 1e-3
        rest = float(np.square(one[RATE // 4 :]).sum() / np.square(one).sum())
        assert rest > 0.01 if label in ("crash", "ride", "hihat-open") else rest < 0.2
    for low, high in (("kick", "rim"), ("tom", "hihat-closed"), ("hand-drum", "crash")):
        assert all(
            centroid(drum_synthesis.stroke(low, kit, 0, 0.5)) < centroid(drum_synthesis.stroke(high, kit, 0, 0.5))
            for kit in range(6)
        )


def centroid(samples: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float((power * np.arange(len(power))).sum() / power.sum())


def test_retuning_changes_pitch_and_length() -> None:
    sine = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    higher = drum.retuned(sine, 1.5)
    assert len(higher) == pytest.approx(RATE / 1.5, abs=2)
    assert np.abs(np.fft.rfft(higher)).argmax() * RATE / len(higher) == pytest.approx(750, abs=3)


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="needs fluidsynth")
def test_notes_sound_alone_and_at_their_key(tmp_path: Path) -> None:
    bank = notes.FOLDER / notes.BANKS["gm"][0]
    if not bank.exists():
        pytest.skip("needs csound-soundfont")
    requested = [notes.NoteKey("gm", 73, key, 100) for key in (69, 81, 60)]  # a flute
    sounds = notes.play(requested, {"gm": bank}, tmp_path, 1.5)
    for note in requested:
        held = sounds[note][RATE // 2 : RATE // 2 + 8192]
        pitch = np.abs(np.fft.rfft(held * np.hanning(8192))).argmax() * RATE / 8192
        assert 12 * np.log2(pitch / 440) + 69 == pytest.approx(note.key, abs=0.5)
        assert len(sounds[note]) == 1.5 * RATE
        assert np.abs(sounds[note][:80]).max() < 0.1 * np.abs(held).max()  # nothing of the note before
    assert not list(tmp_path.glob("*.wav"))


@pytest.mark.skipif(not all(map(shutil.which, voices.PROGRAMS)), reason="needs espeak-ng and flite")
def test_voices_differ_and_repeat_themselves(tmp_path: Path) -> None:
    said = [voice.say(language, "orange", tmp_path) for language, voice in word.VOICES]
    assert all(0.15 * RATE < len(samples) < 1.5 * RATE for samples in said)
    assert len({sound.finish(samples).tobytes() for samples in said}) == len(word.VOICES)
    language, voice = word.VOICES[1]
    assert (voice.say(language, "orange", tmp_path) == said[1]).all()
    slower = voices.Voice(voice.program, voice.name, voice.pitch, 0.6 * voice.speed).say(language, "orange", tmp_path)
    assert len(slower) > 1.2 * len(said[1])
