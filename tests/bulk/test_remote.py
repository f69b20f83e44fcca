"""Inputs behind URLs: fsspec's memory, and S3 as moto serves it on this machine."""

import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hear_audioformer import audio
from hear_audioformer.bulk import places
from hear_audioformer.bulk.opening import open_source, state_now
from hear_audioformer.bulk.skipped import Skipped
from hear_audioformer.bulk.sources import Source, sources
from hear_audioformer.errors import AudioError, InputError
from tests.bulk.test_sources import listed, write_tar

EXAMPLE = Path(__file__).parent.parent.parent / "docs" / "example.ogg"
fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of a folder in memory."""
    files = fsspec.filesystem("memory")
    fill(files, "/bucket")
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


def fill(files: Any, root: str) -> None:
    content = EXAMPLE.read_bytes()
    names = ("b.ogg", "B.OGG", "deep/er/a.ogg", "deep.ogg", "notes.txt", "c.m4a", "with space+[1].ogg")
    for name in names:
        files.pipe_file(f"{root}/{name}", content if name.lower().endswith("ogg") else b"x")
    files.pipe_file(f"{root}/lists/list.csv", b"path\n../b.ogg\n" + f"{EXAMPLE}\n".encode() + b"x.ogg\n")
    files.pipe_file(f"{root}/lists/list.jsonl", b'{"path": "x.ogg"}\n')


def paths(*inputs: str, skipped: Skipped | None = None) -> list[str]:
    return [source.path for source in listed(*inputs, skipped=skipped)]


def check_kinds(url: str) -> None:
    """Folder, file, glob, manifest, tar file, missing file."""
    skipped = Skipped()
    wanted = ["B.OGG", "b.ogg", "deep/er/a.ogg", "deep.ogg", "with space+[1].ogg"]
    found = listed(url, skipped=skipped)
    assert [source.path for source in found] == [f"{url}/{name}" for name in wanted]
    assert all(source.size == EXAMPLE.stat().st_size and source.mtime > 1e18 for source in found)
    assert [state_now(source) for source in found] == [(source.size, source.mtime) for source in found]
    assert [example for _, example in skipped.reasons.values()] == [f"{url}/c.m4a"]
    assert listed(f"{url}/b.ogg") == [found[1]]
    assert paths(f"{url}/*.ogg") == [f"{url}/{name}" for name in ("b.ogg", "deep.ogg", "with space+[1].ogg")]
    assert paths(f"{url}/d*/**/a.*", f"{url}/with space+[1].ogg") == [f"{url}/{wanted[2]}", f"{url}/{wanted[4]}"]
    assert paths(f"{url}/lists/list.csv") == [f"{url}/b.ogg", str(EXAMPLE), f"{url}/lists/x.ogg"]
    assert paths(f"{url}/lists/*.jsonl") == [f"{url}/lists/x.ogg"]
    assert listed(f"{url}/gone.ogg") == [Source(f"{url}/gone.ogg", 0, 0)]
    for name, problem in {"gone*.ogg": "no audio file fits", "gone.csv": "no such manifest"}.items():
        with pytest.raises(InputError, match=problem):
            listed(f"{url}/{name}")
    for source in found:
        with open_source(source) as opened, audio.Reading(opened) as reading:
            assert reading.name == source.path
            assert reading.waveform(16000).equal(audio.read(EXAMPLE, 16000))


def check_tar(files: Any, url: str, tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"x/a.ogg": EXAMPLE.read_bytes(), "b.txt": b"", "c.ogg": b"none"})
    files.pipe_file(f"{url}/shards/a-00.tar", tar.read_bytes())
    found = listed(f"{url}/shards/a-{{00..00}}.tar")
    assert [source.path for source in found] == [f"{url}/shards/a-00.tar/{name}" for name in ("x/a.ogg", "c.ogg")]
    with open_source(found[0]) as opened:
        assert audio.read(opened, 16000).equal(audio.read(EXAMPLE, 16000))
    with open_source(found[1]) as opened, pytest.raises(AudioError, match=r"a-00\.tar/c\.ogg: "):
        audio.read(opened, 16000)


def test_memory(memory: str, tmp_path: Path) -> None:
    check_kinds(memory)
    check_tar(fsspec.filesystem("memory"), memory, tmp_path)


def test_a_driver_that_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, before anything is listed."""
    monkeypatch.setattr(sys.modules["fsspec.registry"], "_registry", {})
    for url, driver in {"s3://no-driver/a": "s3fs", "gs://no-driver/a": "gcsfs"}.items():
        monkeypatch.setitem(sys.modules, driver, None)
        with pytest.raises(InputError, match=f"needs {driver}: pip install {driver}$"):
            sources([url], skipped=Skipped())
    for url, problem in {"nosuch://x/a": "Protocol not known", "zip://a::s3://b": "joined by ::"}.items():
        with pytest.raises(InputError, match=problem):
            sources([url], skipped=Skipped())


@pytest.mark.parametrize(
    ("path", "suffix"),
    [("http://h/a.TAR?key=x.y", ".tar"), ("a.b/c", ""), ("s3://b/a?.wav", ".wav"), ("a?b.csv", ".csv")],
)
def test_the_suffix_of_an_address_stands_before_its_query(path: str, suffix: str) -> None:
    assert places.suffix_of(path) == suffix


def test_a_pattern_costs_no_request_a_file(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.Remote, "state", None)
    assert len(listed(f"{memory}/**/*.ogg")) == 4
    assert len(listed(f"{memory}/lists/list.csv")) == 3


class Quiet(SimpleHTTPRequestHandler):
    """A server without access to parts of files."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_sends_whole_files_only(web: str, tmp_path: Path) -> None:
    """Its files are read, and the members of its tar files refused: anything else would be other bytes."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.ogg").write_bytes(EXAMPLE.read_bytes())
    write_tar(tmp_path / "a.tar", {"a.ogg": EXAMPLE.read_bytes(), "b.ogg": EXAMPLE.read_bytes()})
    assert paths(f"{web}/clips/") == [f"{web}/clips/a.ogg"]
    [source] = listed(f"{web}/clips/a.ogg")
    with open_source(source) as opened:
        assert audio.read(opened, 16000).equal(audio.read(EXAMPLE, 16000))
    assert listed(f"{web}/gone.ogg") == [Source(f"{web}/gone.ogg", 0, 0)]
    found = [source for source in listed(f"{web}/a.tar") if source.container]
    member = Source(f"{web}/a.tar/b.ogg", EXAMPLE.stat().st_size, 0, f"{web}/a.tar", 512)
    for source in [*found, member]:
        with pytest.raises(AudioError, match=r"a\.tar/.\.ogg: its server sends whole files only"), open_source(source):
            pass


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system of S3 whose server runs in a thread."""
    server_module = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places, "_REMOTES", {})
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("clips")
    yield files
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_s3(s3: Any, tmp_path: Path) -> None:
    fill(s3, "clips/some")
    check_kinds("s3://clips/some")
    check_tar(s3, "s3://clips/some", tmp_path)
    s3.pipe_file("clips/some/b.ogg", b"other")
    [source] = listed("s3://clips/some/b.ogg")
    assert source.size == 5
    s3.rm("clips/some/b.ogg")
    assert state_now(source) is None
    with pytest.raises(AudioError, match=r"s3://clips/some/b\.ogg: no such file"), open_source(source):
        pass
    with pytest.raises(InputError, match="s3://no-such-bucket"):
        listed("s3://no-such-bucket/*.ogg")
