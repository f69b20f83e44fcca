"""Packages: found, verified, and read in every compression without being installed."""

import shutil
import tarfile
from pathlib import Path

import pytest

from corpora import catalogue, debian
from corpora.debian import DebianError
from tests.corpora.archive import deb, mirror, served

FILES = {"usr/share/x/a.ogg": b"a" * 200_001, "usr/share/doc/x/copyright": b"License: CC0-1.0\n", "empty": b""}


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".bz2", ".zst", ""])
def test_every_compression_is_read(tmp_path: Path, suffix: str) -> None:
    if suffix == ".zst" and not shutil.which("dpkg-deb"):
        pytest.importorskip("zstandard")
    path = tmp_path / "x.deb"
    path.write_bytes(deb(FILES, suffix))
    assert {name: content.read() for name, content in debian.members(path)} == FILES


@pytest.mark.parametrize("over_http", [False, True])
def test_found_downloaded_and_verified(tmp_path: Path, over_http: bool) -> None:
    folder = mirror(tmp_path / "mirror", {"x": deb(FILES), "y": b"!<arch>\n"})
    with served(folder) as server:
        where = server.url if over_http else str(folder)
        result = debian.find("x", where, "bookworm")
        assert result.version == "1:2-3"
        path = debian.download(result, tmp_path)
        assert path.read_bytes() == deb(FILES)
        debian.download(result, tmp_path)
        assert server.asked["x_2-3_all.deb"] == over_http
        (folder / "pool" / "x_2-3_all.deb").write_bytes(deb({}))
        path.unlink()
        with pytest.raises(DebianError, match="SHA-256"):
            debian.download(result, tmp_path)
        assert not list(tmp_path.glob("x*"))
        with pytest.raises(DebianError, match="z: not in"):
            debian.find("z", where, "bookworm")
        with pytest.raises(DebianError, match="no index"):
            debian.find("x", where, "sid")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no package", "is no Debian package"),
        (b"!<arch>\n", "holds no data.tar"),
        (deb(FILES)[:-100], "."),
        (deb(FILES, ".zst")[:-30_000], "."),
    ],
)
def test_broken_packages_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(content)
    with pytest.raises((DebianError, tarfile.TarError, EOFError), match=reason):
        [content.read() for _, content in debian.members(path)]


def test_without_apt_a_mirror_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DebianError, match="--mirror"):
        debian.find("x")


def test_the_sets_of_the_catalogue_do_not_meet() -> None:
    opened, evaluation = catalogue.SETS["open"], catalogue.SETS["eval"]
    assert len(opened) == len(set(opened)) == 100
    assert len(evaluation) == len(set(evaluation)) == 37
    assert not any(catalogue.is_eval(name) for name in opened)
    assert set(catalogue.SETS["small"]) < set(opened)
    assert len(catalogue.SETS["small"]) == 8
    assert all(map(catalogue.is_eval, [*evaluation, "asterisk-core-sounds-en-wav", "asterisk-core-sounds-fr-gsm"]))


@pytest.mark.parametrize(
    ("package", "path", "seconds", "kind"),
    [
        ("festvox-ru", "usr/x.wav", 3, "speech"),
        ("0ad-data", "audio/voice/hello.ogg", 3, "speech"),
        ("0ad-data", "audio/ambient/day.ogg", 60, "ambience"),
        ("0ad-data", "audio/music/a.ogg", 9, "music"),
        ("0ad-data", "audio/song.ogg", 90, "music"),
        ("0ad-data", "audio/hit.ogg", 1, "sfx"),
    ],
)
def test_kinds(package: str, path: str, seconds: float, kind: str) -> None:
    assert catalogue.kind_of(package, path, seconds) == kind


def test_labels() -> None:
    result = catalogue.labels_of("fillets-ng-data-nl", "usr/share/games/fillets-ng/sound/alibaba/nl/ali-m-zima.ogg")
    assert result == {"language": "nl", "group": "alibaba", "speaker": "fillets-ng-data-nl-m"}
    assert catalogue.labels_of("0ad-data", "usr/x.ogg") == {}
