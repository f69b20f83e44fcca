"""Files -> waveforms: every format, rate and channel count; block by block as if at once."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_audioformer import audio
from hear_audioformer.audio import AudioError


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(1.0, 16000), 16000)
    found = audio.read(path, 16000).numpy()
    assert abs(len(found) - 16000) < 2500  # MP3 pads
    spectrum = np.abs(np.fft.rfft(found[:16000] * np.hanning(len(found[:16000])), 16000))
    assert abs(int(spectrum.argmax()) - 440) <= 1


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000])
def test_any_rate_is_resampled(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(1.0, rate), rate, subtype="FLOAT")
    found = audio.read(path, 16000).numpy()
    assert len(found) == 16000
    assert np.abs(found - tone(1.0, 16000))[400:-400].max() < 1e-3


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (8000, 16000), (48000, 32000)])
def test_the_odd_way_is_the_same_filter(old: int, new: int) -> None:
    """Ordinary rates by both ways: the precomputed bank, and taps worked out on the spot."""
    samples = torch.randn(2, old // 2, generator=torch.Generator().manual_seed(0))
    assert (audio._resample_oddly(samples, old, new) - audio.resample(samples, old, new)).abs().max() < 1e-4


@pytest.mark.parametrize("rate", [22254, 44099, 7919])
def test_odd_rates_need_no_giant_filter(tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "SECONDS", 1)
    soundfile.write(tmp_path / "tone.wav", tone(2.0, rate), rate, subtype="FLOAT")
    found = audio.read(tmp_path / "tone.wav", 16000).numpy()
    assert len(found) == 32000
    assert np.abs(found - tone(2.0, 16000))[400:-400].max() < 1e-3


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    """An MP3 cut in half still announces all its samples: no garbage is read behind those that are there."""
    whole, half = tmp_path / "whole.mp3", tmp_path / "half.mp3"
    soundfile.write(whole, tone(3.0, 16000), 16000)
    content = whole.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    assert soundfile.info(half).frames == 48000
    found, wanted = audio.read(half, 16000), audio.read(whole, 16000)
    assert 20000 < len(found) < 28000
    assert (found - wanted[: len(found)])[:-2000].abs().max() < 1e-3
    assert found.abs().max() < 0.6


def test_what_lies_above_the_new_nyquist_is_gone() -> None:
    high = torch.from_numpy(tone(1.0, 44100, hertz=9000.0)).float()
    assert audio.resample(high, 44100, 16000)[500:-500].abs().max() < 1e-4


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.001, 1.0, 2.0, 7.77])
def test_blocks_leave_no_seam(tmp_path: Path, rate: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "SECONDS", 1)
    generator = np.random.default_rng(0)
    samples = 0.1 * generator.standard_normal(max(1, round(seconds * rate))).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", samples, rate, subtype="FLOAT")
    found = audio.read(tmp_path / "noise.wav", 16000)
    wanted = audio.resample(torch.from_numpy(samples), rate, 16000)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 1e-6


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(0.5, 16000), tone(0.5, 16000, 1000.0)
    soundfile.write(tmp_path / "x.wav", np.stack([left, right, 0 * left], axis=1), 16000, subtype="FLOAT")
    assert np.abs(audio.read(tmp_path / "x.wav", 16000).numpy() - (left + right) / 3).max() < 1e-6


@pytest.mark.parametrize("case", ["missing", "text", "empty", "no samples", "NaN", "folder"])
def test_unreadable_files_are_named(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.wav"
    if case == "text":
        path.write_text("this is not audio")
    elif case == "empty":
        path.touch()
    elif case == "no samples":
        soundfile.write(path, np.zeros(0), 16000)
    elif case == "NaN":
        soundfile.write(path, np.array([0.1, np.nan]), 16000, subtype="FLOAT")
    elif case == "folder":
        path.mkdir()
    with pytest.raises(AudioError, match=r"x\.wav: "):
        audio.read(path, 16000)


def test_folders_are_searched_and_files_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("b.wav", "a.FLAC", "notes.txt", "deep/er/c.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = audio.find([tmp_path, tmp_path / "notes.txt"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.FLAC", "b.wav", "deep/er/c.mp3", "notes.txt"]
