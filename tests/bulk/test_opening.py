"""One recording opened: a file, a part of a tar file, a file behind a URL give the same samples and the same faults."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_audioformer import audio
from hear_audioformer.audio import AudioError
from hear_audioformer.bulk import opening
from hear_audioformer.bulk.opening import open_source, stat_now, state_now
from hear_audioformer.bulk.skipped import Skipped
from hear_audioformer.bulk.sources import Source, sources
from tests.bulk.test_sources import listed, write_tar

FORMATS = ("wav", "flac", "ogg", "mp3", "aiff", "au", "w64")


def noise(path: Path, seconds: float = 0.5) -> Path:
    """A file of two channels that differs from format to format."""
    generator = np.random.default_rng(len(path.suffix) + ord(path.suffix[1]))
    soundfile.write(path, 0.1 * generator.standard_normal((round(seconds * 22050), 2)), 22050)
    return path


def waveform(source: Source, rate: int = 16000) -> torch.Tensor:
    with open_source(source) as opened:
        return audio.read(opened, rate)


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    return [noise(tmp_path / f"a.{suffix}") for suffix in FORMATS]


def test_members_of_a_tar_file_decode_as_the_files(tmp_path: Path, recordings: list[Path]) -> None:
    tar = write_tar(tmp_path / "a.tar", {path.name: path.read_bytes() for path in recordings})
    found = listed(tar)
    assert [source.path for source in found] == [f"{tar}/{path.name}" for path in recordings]
    for source, path in zip(found, recordings, strict=True):
        assert torch.equal(waveform(source), audio.read(path, 16000)), path.name


def test_a_tar_file_is_never_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes read while one member of many is decoded."""
    content = noise(tmp_path / "a.flac", 5.0).read_bytes()
    tar = write_tar(tmp_path / "a.tar", {f"{number}.flac": content for number in range(50)})
    monkeypatch.setattr(opening, "BUFFER", 4096)
    [source] = [source for source in listed(tar) if source.path.endswith("/25.flac")]

    with open_source(source) as opened:
        assert isinstance(opened, io.BufferedReader)
        audio.read(opened, 16000)
        assert opened.seek(0, io.SEEK_END) == len(content)
        assert opened.seek(-4, io.SEEK_END) == len(content) - 4
        assert opened.read() == content[-4:]  # and not the next member's


def test_remote_files_and_members_decode_as_the_files(
    tmp_path: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/clips/deep/{path.name}": path.read_bytes() for path in recordings})
    tar = write_tar(tmp_path / "a.tar", {path.name: path.read_bytes() for path in recordings})
    memory.pipe({"/clips/a.tar": tar.read_bytes()})
    try:
        for whole in (opening.WHOLE, 0):  # by one request, and piece by piece
            monkeypatch.setattr(opening, "WHOLE", whole)
            found = listed("memory://clips/a.tar", "memory://clips")
            assert len(found) == 2 * len(FORMATS)
            for source in [*found, Source(found[-1].path, 0, 0)]:
                wanted = audio.read(tmp_path / Path(source.path).name, 16000)
                assert torch.equal(waveform(source), wanted), (source, whole)
    finally:
        memory.rm("/clips", recursive=True)


def missing_member(tmp_path: Path) -> Source:
    [source] = listed(write_tar(tmp_path / "a.tar", {"a.wav": noise(tmp_path / "a.wav").read_bytes()}))
    (tmp_path / "a.tar").unlink()
    return source


def damaged_tar(tmp_path: Path) -> Source:
    (tmp_path / "a.tar").write_bytes(b"text" * 500)
    [source] = listed(tmp_path / "a.tar")
    return source


FAULTS: dict[str, tuple[Callable[[Path], Source], str]] = {
    "file": (lambda folder: Source(str(folder / "a.wav"), 0, 0), r"a\.wav: no such file"),
    "tar": (lambda folder: Source(str(folder / "a.tar"), 0, 0), r"a\.tar: no such file"),
    "damaged tar": (damaged_tar, r"a\.tar: is damaged"),
    "member": (missing_member, r"a\.tar/a\.wav: its tar file .*a\.tar is gone"),
    "remote": (lambda folder: Source("memory://nowhere/a.wav", 0, 0), r"memory://nowhere/a\.wav: no such file"),
    "remote, listed": (lambda folder: Source("memory://nowhere/a.wav", 9, 0), r"memory://nowhere/a\.wav: no such file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_missing_is_named(tmp_path: Path, fault: str) -> None:
    make, message = FAULTS[fault]
    source = make(tmp_path)
    with pytest.raises(AudioError, match=message):
        waveform(source)


def test_a_member_cut_short_is_called_truncated(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"a.wav": noise(tmp_path / "a.wav", 2.0).read_bytes()})
    tar.write_bytes(tar.read_bytes()[: 512 + 44 + 22050 * 4])  # one second of two
    [source, damaged] = listed(tar)
    with pytest.warns(audio.TruncatedAudioWarning, match=r"a\.tar/a\.wav is truncated"):
        assert 15000 < len(waveform(source)) <= 16000
    assert damaged.path == str(tar)


def test_state(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.wav")
    tar = write_tar(tmp_path / "a.tar", {"a.wav": path.read_bytes()})
    found = [*listed(path), *listed(tar)]
    assert [state_now(source) for source in found] == [(source.size, source.mtime) for source in found]
    assert stat_now(str(path)) == (path.stat().st_size, path.stat().st_mtime_ns)
    os.utime(path, ns=(1, 1))
    os.utime(tar, ns=(2, 2))
    assert [state_now(source) for source in found] == [(source.size, time) for source, time in zip(found, (1, 2))]  # noqa: B905
    path.unlink()
    tar.write_bytes(b"")
    assert [state_now(source) for source in found] == [None, None]
    assert stat_now(str(path)) is None
    assert stat_now("memory://nowhere/a.wav") is None


def test_names_that_are_not_utf_8_are_read(tmp_path: Path) -> None:
    content = noise(tmp_path / "a.wav").read_bytes()
    with open(os.fsencode(tmp_path) + b"/\xff.wav", "wb") as file:
        file.write(content)
    found = list(sources([str(tmp_path)], skipped=Skipped()))
    assert len(found) == 2
    assert torch.equal(waveform(found[0]), waveform(found[1]))
