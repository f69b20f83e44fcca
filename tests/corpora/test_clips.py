"""Clips: decoded from whatever they were, judged, and known again; the recordings inside bundles."""

import csv
import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpora import bundles, catalogue, clips
from corpora.clips import RATE, Fingerprints
from hear_audioformer.audio import AudioError
from tests.corpora.archive import encoded, sound


def pcm(seed: int, seconds: float = 1.0) -> np.ndarray:
    return (sound(seed, seconds) * 32767).round().astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 22254, 44100, 48000])
def test_any_rate_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "x.wav"
    time = np.arange(rate) / rate
    soundfile.write(path, np.stack([0.5 * np.sin(2 * np.pi * 440 * time)] * 2, 1), rate, subtype="FLOAT")
    samples, source_rate = clips.decode(path)
    assert (samples.dtype, source_rate) == (np.int16, rate)
    assert len(samples) == RATE
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / RATE) * 32767
    assert np.abs(samples - expected)[400:-400].max() < (1 if rate == RATE else 40)
    assert abs(int(np.abs(np.fft.rfft(samples[:RATE], RATE)).argmax()) - 440) <= 1


def test_integers_stay_as_they_are(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", pcm(0), RATE, subtype="PCM_16")
    assert np.abs(clips.decode(tmp_path / "x.wav")[0].astype(int) - pcm(0)).max() <= 1


def test_what_is_over_full_scale_is_brought_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", 4 * sound(0), RATE, subtype="FLOAT")
    samples = clips.decode(tmp_path / "x.wav")[0]
    assert int(np.abs(samples.astype(int)).max()) == 32767
    assert (np.abs(samples.astype(int)) == 32767).sum() == 1


def test_a_file_shorter_than_its_header_says_ends_where_it_ends(tmp_path: Path) -> None:
    """An MP3 whose header speaks of more frames than follow: nothing but its own samples."""
    soundfile.write(tmp_path / "x.mp3", np.concatenate([sound(i) for i in range(10)]), RATE)
    content = (tmp_path / "x.mp3").read_bytes()
    (tmp_path / "x.mp3").write_bytes(content[: len(content) // 2])
    first, _ = clips.decode(tmp_path / "x.mp3")
    assert soundfile.info(tmp_path / "x.mp3").frames > len(first) > 4 * RATE
    again, _ = clips.decode(tmp_path / "x.mp3")
    assert np.array_equal(first, again)


def test_headerless_gsm(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, sound(0, rate=8000), 8000, format="RAW", subtype="GSM610")
    (tmp_path / "x.gsm").write_bytes(file.getvalue())
    samples, rate = clips.decode(tmp_path / "x.gsm")
    assert rate == 8000
    assert abs(len(samples) - RATE) < 1000


@pytest.mark.parametrize("content", [b"", b"RIFF, or so it says"])
def test_broken_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(AudioError, match=r"x\.wav"):
        clips.decode(tmp_path / "x.wav")


@pytest.mark.parametrize("rate", [16000, 22050])
def test_faults(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(0), rate)
    assert clips.drop_reason(clips.decode(tmp_path / "x.wav")[0]) == "too short"
    assert clips.drop_reason(pcm(0)[:799]) == "too short"
    assert clips.drop_reason(pcm(0)[:800]) == ""
    assert clips.drop_reason(np.full(RATE, 32, np.int16)) == "silent"
    assert clips.drop_reason(np.full(RATE, -32768, np.int16)) == ""


def test_a_fingerprint_recognises_its_recording(tmp_path: Path) -> None:
    """At another level always, coded with loss and with silence around nearly so; and takes no other for it."""
    fingerprints = Fingerprints([(clips.sha256_of(pcm(seed)), clips.fingerprint_of(pcm(seed))) for seed in range(20)])

    def is_known(samples: np.ndarray) -> bool:
        return (clips.sha256_of(samples), clips.fingerprint_of(samples)) in fingerprints

    coded = 0
    for seed in range(20):
        assert is_known(pcm(seed))
        assert is_known(pcm(seed) // 2)
        soundfile.write(tmp_path / "x.ogg", 0.5 * np.concatenate([np.zeros(1920), sound(seed), np.zeros(999)]), RATE)
        coded += is_known(clips.decode(tmp_path / "x.ogg")[0])
    assert coded >= 16
    assert not any(is_known(pcm(seed)) for seed in range(20, 80))
    assert ("x", None) not in fingerprints
    assert ("x", clips.fingerprint_of(pcm(0))) not in Fingerprints([])


def test_fingerprints_survive_their_file(tmp_path: Path) -> None:
    tiny = pcm(1)[:500]
    entries = [("p", clips.sha256_of(samples), clips.fingerprint_of(samples)) for samples in (pcm(0), tiny)]
    assert entries[1][2] is None
    assert clips.write_fingerprints(tmp_path / "prints.csv", entries) == 2
    fingerprints = clips.read_fingerprints([tmp_path / "prints.csv"])
    assert (entries[1][1], None) in fingerprints
    assert ("another", entries[0][2]) in fingerprints
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"x\.csv: is no file of prints"):
        clips.read_fingerprints([tmp_path / "x.csv"])


def test_fingerprint_does_not_depend_on_the_order() -> None:
    assert clips.corpus_hash(["b", "a"]) == clips.corpus_hash(["a", "b"]) != clips.corpus_hash(["a", "c"])


def test_queen() -> None:
    content, other = bytes(range(250)), b"x" * 300
    start = 15 + 2 * 21
    entries = [(b"LINE1.SB", start, 250), (b"ROOM.PCX", start + 250, 300)]
    index = b"".join(name.ljust(13, b"\0") + struct.pack(">II", at, size) for name, at, size in entries)
    data = b"QTBL".ljust(13, b"\0") + struct.pack(">H", 2) + index + content + other
    assert list(bundles.queen(data)) == [("LINE1.SB", content)]


def test_riffs() -> None:
    first, second = encoded(sound(0)), encoded(sound(1, 0.5), 8000)
    recordings = list(bundles.riffs(b"head" + first + b"RIFFraff" + second + b"RIFF"))
    assert [data for _, data in recordings] == [first, second]
    assert recordings[0][0] == "00000004.wav"


def test_soundfont_and_patch(tmp_path: Path) -> None:
    samples = pcm(0).astype("<i2")
    header = struct.pack("<20sIIIIIBbHH", b"Piano", 100, 8100, 0, 0, 22050, 60, 0, 0, 1)
    right = struct.pack("<20sIIIIIBbHH", b"Piano R", 0, 8000, 0, 0, 22050, 60, 0, 0, 2)
    end = struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content

    lists = chunk(b"LIST", b"sdta" + chunk(b"smpl", samples.tobytes()))
    lists += chunk(b"LIST", b"pdta" + chunk(b"shdr", header + right + end))
    [(name, data)] = bundles.soundfont(chunk(b"RIFF", b"sfbk" + lists))
    assert name == "0000_Piano.wav"
    decoded, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == 22050
    assert (decoded == samples[100:8100]).all()
    for modes, raw in ((1, samples.tobytes()), (3, (samples ^ -0x8000).tobytes())):
        wave = bytearray(96)
        struct.pack_into("<IIIH", wave, 8, len(raw), 0, 0, 16000)
        wave[55] = modes
        [(_, data)] = bundles.patch(b"GF1PATCH110".ljust(239, b"\0") + bytes(wave) + raw)
        assert (soundfile.read(io.BytesIO(data), dtype="int16")[0] == samples).all()


def test_the_evaluations_prints_ship_and_cover_every_evaluation_package() -> None:
    """G.722 prompts stand in as their 8-kHz WAV packages, since the file was made without ffmpeg."""
    from corpora.corpus import EVALUATION_FINGERPRINTS

    with gzip.open(EVALUATION_FINGERPRINTS, "rt") as file:
        packages = {row["package"] for row in csv.DictReader(file)}
    wanted = {name.replace("-g722", "-wav") for name in catalogue.SETS["eval"]}
    assert packages == wanted
    assert len(clips.read_fingerprints([EVALUATION_FINGERPRINTS]).bits) > 20000
