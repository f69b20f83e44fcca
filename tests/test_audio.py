"""Files -> waveforms: every format, rate and channel count; block by block as if at once."""

import io
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_audioformer import audio
from hear_audioformer.audio import AudioError
from tests.oracles import torchaudio_functional


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


@pytest.mark.parametrize("rate", [22254, 44056, 44099, 47952, 7919])
def test_rates_with_hardly_a_common_divisor(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(2.0, rate), rate, subtype="FLOAT")
    began = time.perf_counter()
    found = audio.read(tmp_path / "tone.wav", 16000).numpy()
    assert time.perf_counter() - began < 2
    assert len(found) == 32000
    assert np.abs(found - tone(2.0, 16000))[400:-400].max() < 1e-3


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    """An MP3 cut in half still announces all its samples: no garbage is read behind those that are there."""
    whole, half = tmp_path / "whole.mp3", tmp_path / "half.mp3"
    soundfile.write(whole, tone(3.0, 16000), 16000)
    content = whole.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    assert soundfile.info(half).frames == 48000
    with pytest.warns(audio.TruncatedAudioWarning, match=r"half\.mp3 is truncated: 1\.\d+ s"):
        found = audio.read(half, 16000)
    wanted = audio.read(whole, 16000)
    assert 20000 < len(found) < 28000
    assert (found - wanted[: len(found)])[:-2000].abs().max() < 1e-3
    assert found.abs().max() < 0.6


def response(old: int, new: int, hertz: float) -> tuple[float, float]:
    """What becomes of a tone: its level, and that of everything else, in dB of the tone as it came in.

    Every other frequency is an image, an alias or an error.
    """
    hertz = round(hertz)
    samples = torch.from_numpy(np.cos(2 * np.pi * hertz * np.arange(2 * old) / old))
    found = audio.resample(samples, old, new).numpy().astype(np.float64)
    found = found[new // 2 : new // 2 + new]  # one second, away from the clip's edges: a bin is one Hz
    window = np.kaiser(len(found), 30)  # side lobes below -200 dB
    spectrum = np.abs(np.fft.rfft(found * window)) / (window.sum() / 2)
    around = slice(max(0, hertz - 15), hertz + 16) if hertz < new / 2 else slice(0, 0)
    level = spectrum[around].max(initial=1e-15)
    spectrum[around] = 1e-15
    return 20 * np.log10(level), 20 * np.log10(spectrum.max())


RATES = [(44100, 16000), (48000, 16000), (11025, 16000), (22254, 16000), (44056, 16000), (8000, 16000), (8000, 192000)]
RATES += [(192000, 8000), (16000, 48000), (48000, 32000)]


@pytest.mark.parametrize(("old", "new"), RATES)
def test_the_pass_band_is_flat_and_nothing_is_folded(old: int, new: int) -> None:
    nyquist = min(old, new) / 2
    for share in (0.05, 0.3, 0.6, 0.85, 0.9):
        level, rest = response(old, new, share * nyquist)
        assert abs(level) < 0.1, f"{share} of Nyquist: {level:.3f} dB"
        assert rest < -110, f"{share} of Nyquist: an image or alias at {rest:.1f} dB"
    for hertz in np.linspace(1.01 * nyquist, 0.98 * old / 2, 4) if new < old else ():
        _, rest = response(old, new, hertz)
        assert rest < -110, f"{hertz:.0f} Hz comes through at {rest:.1f} dB"


@pytest.mark.parametrize(("old", "new"), RATES)
def test_an_impulse_stays_where_it_was(old: int, new: int) -> None:
    at = old // 2 + 7
    samples = torch.zeros(old)
    samples[at] = 1
    found = audio.resample(samples, old, new).double().numpy()
    centre = (np.arange(len(found)) * found).sum() / found.sum()
    assert abs(centre - at * new / old) < 0.5
    assert abs(int(found.argmax()) - at * new / old) <= 0.5


@pytest.mark.parametrize(("old", "new"), [*RATES, (1001, 16000), (384000, 16000)])
@pytest.mark.parametrize("samples", [1, 2, 3, 1000])
def test_any_length_at_any_pair_of_rates(old: int, new: int, samples: int) -> None:
    found = audio.resample(torch.full((2, samples), 0.5), old, new)
    assert found.shape == (2, -(-samples * new // old))
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("rate", [8000, 22050, 22254, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.001, 1.0, 2.0, 7.77])
def test_blocks_leave_no_seam(tmp_path: Path, rate: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "BLOCK", 10007)
    generator = np.random.default_rng(0)
    samples = 0.1 * generator.standard_normal(max(1, round(seconds * rate))).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", samples, rate, subtype="FLOAT")
    found = audio.read(tmp_path / "noise.wav", 16000)
    wanted = audio.resample(torch.from_numpy(samples), rate, 16000)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 1e-6


def test_a_batch_is_resampled_clip_by_clip() -> None:
    samples = 0.1 * torch.randn(3, 2, 4410, generator=torch.Generator().manual_seed(0))
    found = audio.resample(samples, 44100, 16000)
    assert found.shape == (3, 2, 1600)
    assert torch.equal(found[1, 1], audio.resample(samples[1, 1].clone(), 44100, 16000))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_what_was_on_a_device_comes_back_on_it() -> None:
    found = audio.resample(torch.randn(2, 4410, device="cuda"), 44100, 16000)
    assert found.device.type == "cuda"


def test_integers_are_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match="audio / 32768"):
        audio.resample(torch.zeros(100, dtype=torch.int16), 16000, 16000)


def test_an_hour_in_bounded_memory(tmp_path: Path) -> None:
    """Blocks of an hour at 48 kHz in two channels, in a process that may hold little more than it starts with."""
    with soundfile.SoundFile(tmp_path / "hour.flac", "w", 48000, 2) as file:
        for _ in range(60):
            file.write(np.zeros((60 * 48000, 2), np.int16))
    code = (
        "import resource, sys\n"
        "from hear_audioformer import audio\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "made = sum(len(block) for block in audio.read_blocks(sys.argv[1], 16000))\n"
        "print(made, peak() - before)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "hour.flac")], capture_output=True, text=True, check=True
    )
    made, megabytes = out.stdout.split()
    assert int(made) == 3600 * 16000
    assert float(megabytes) < 100  # all of it would take 1380 at its own rate, 230 at the new one


def test_torchaudio_agrees(tmp_path: Path) -> None:
    """An oracle where it can be loaded: its filter is narrower, so the tone stays below both cutoffs."""
    functional = torchaudio_functional()
    samples = torch.from_numpy(tone(1.0, 44100, 3000.0) + tone(1.0, 44100, 70.0)).float()
    wanted = functional.resample(samples, 44100, 16000, lowpass_filter_width=64, rolloff=0.9475937167399596,
                                 resampling_method="sinc_interp_kaiser", beta=14.769656459379492)  # fmt: skip
    found = audio.resample(samples, 44100, 16000)
    assert found.shape == wanted.shape
    assert (found - wanted)[400:-400].abs().max() < 1e-4


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "w64", "rf64"])
def test_a_file_cut_short_is_named_with_what_is_missing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    soundfile.write(path, tone(4.0, 16000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.warns(audio.TruncatedAudioWarning, match=rf"cut\.{suffix} is truncated: 2 s"):
        found = audio.read(path, 16000)
    assert 31900 < len(found) < 32000


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "au", "w64", "rf64", "mp3", "ogg", "caf"])
def test_a_whole_file_is_not_called_truncated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"whole.{suffix}"
    soundfile.write(path, tone(2.0, 44100), 44100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audio.read(path, 16000)


def test_a_file_written_to_a_pipe_is_not_called_truncated(tmp_path: Path) -> None:
    """Such a writer does not know the length and puts the largest number there is into the header."""
    path = tmp_path / "piped.wav"
    soundfile.write(path, tone(1.0, 16000), 16000)
    content = bytearray(path.read_bytes())
    place = content.index(b"data")
    content[4:8] = content[place + 4 : place + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(audio.read(path, 16000)) == 16000


@pytest.mark.parametrize("rate", [1, 999, 2_000_000_000])
def test_a_rate_that_cannot_be_is_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(0.1, 16000), 16000)
    content = bytearray(path.read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"x\.wav: claims a rate of {rate} Hz"):
        audio.read(path, 16000)


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


class Failing(io.BytesIO):
    """An open file that fails after some bytes, as one behind a network may."""

    name = "bucket/far.wav"
    left = 30_000

    def read(self, count: int | None = -1) -> bytes:
        content = super().read(count)
        self.left -= len(content)
        if self.left < 0:
            raise OSError("connection reset")
        return content


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"])
def test_an_open_file_is_read_as_its_path(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([tone(1.0, 44100), tone(1.0, 44100, 1000.0)], axis=1), 44100)
    with open(path, "rb") as file:
        assert torch.equal(audio.read(file, 16000), audio.read(path, 16000))
    with open(path, "rb") as file:
        joined = np.concatenate(list(audio.read_blocks(file, 16000)))
    assert np.array_equal(joined, audio.read(path, 16000).numpy())


def test_what_an_open_file_raises_is_not_taken_for_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(2.0, 16000), 16000)
    file = Failing((tmp_path / "x.wav").read_bytes())
    with pytest.raises(AudioError, match=r"bucket/far\.wav: connection reset"):
        audio.read(file, 16000)
    file.seek(0)
    file.left = 0
    with pytest.raises(AudioError, match=r"bucket/far\.wav: connection reset"):
        audio.read(file, 16000)


def test_open_files_are_named_in_errors_and_warnings(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(2.0, 16000), 16000)
    file = io.BytesIO((tmp_path / "x.wav").read_bytes()[:32_044])
    file.name = "shard.tar/x.wav"  # type: ignore[attr-defined]
    with pytest.warns(audio.TruncatedAudioWarning, match=r"shard\.tar/x\.wav is truncated: 1 s"):
        assert len(audio.read(file, 16000)) == 16000
    with pytest.raises(AudioError, match="the file: "):
        audio.read(io.BytesIO(b"text"), 16000)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_header_is_known_before_the_samples(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, np.zeros((22050, 2)), 44100)
    with audio.Reading(path) as reading:
        assert (reading.sample_rate, reading.channels) == (44100, 2)
        assert reading.frames == 22050
        assert reading.seconds == 0.5
        assert len(reading.waveform(16000)) == 8000


def test_a_file_without_a_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(bytes(1000))
    with pytest.raises(AudioError, match=r"x\.raw: \.raw has no header, and so no sample rate"):
        audio.read(tmp_path / "x.raw", 16000)


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.wav")
    with open(path, "wb") as file:
        soundfile.write(file, tone(1.0, 16000), 16000, format="WAV")
    assert len(audio.read(path, 16000)) == len(audio.read(str(path), 16000)) == 16000
