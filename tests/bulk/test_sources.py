"""What the inputs name: folders, globs, manifests, tar files; in order, in bounded memory, whatever the names."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_audioformer.bulk.skipped import Skipped
from hear_audioformer.bulk.sources import Source, shown, sources
from hear_audioformer.errors import InputError

ROOT = Path(__file__).parent.parent.parent


def listed(*inputs: str | Path, skipped: Skipped | None = None, **options: str) -> list[Source]:
    return list(sources([str(one) for one in inputs], skipped=skipped or Skipped(), **options))


def names(found: list[Source], root: Path) -> list[str]:
    return [os.path.relpath(source.path, root) for source in found]


def touch(root: Path, *files: str) -> None:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * len(name))


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_a_folder_is_listed_in_order_with_size_and_time(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a.FLAC", "a/z.mp3", "a/b/c.ogg", "a.b/d.opus", "notes.txt", "B.wav", ".hidden/e.wav")
    found = listed(tmp_path)
    wanted = [".hidden/e.wav", "B.wav", "a/b/c.ogg", "a/z.mp3", "a.FLAC", "a.b/d.opus", "b.wav"]
    assert names(found, tmp_path) == wanted
    assert [source.size for source in found] == [len(name) for name in wanted]
    assert [source.mtime for source in found] == [(tmp_path / name).stat().st_mtime_ns for name in wanted]


def test_names_are_those_that_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "deep/a.wav")
    monkeypatch.chdir(tmp_path)
    for name in ("deep", "./deep/", "deep/*.wav", "./deep//*.wav", "*/a.wav", "**/a.wav", "*", "deep/a.wav"):
        assert [source.path for source in listed(name)] == ["deep/a.wav"], name
    assert [source.path for source in listed(".")] == ["deep/a.wav"]
    assert [source.path for source in listed(f"file://{tmp_path}/deep")] == [f"{tmp_path}/deep/a.wav"]


def test_what_a_folder_holds_beside_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.m4a", "c.M4A", "d.mp4", "e.raw", "f.tar", "g.tar.gz", "h.txt", "i.jpg", "j.csv")
    (tmp_path / "k.wav").symlink_to("gone.wav")
    (tmp_path / "l.txt").symlink_to("gone.txt")
    (tmp_path / "m.wav").symlink_to("m.wav")
    os.mkfifo(tmp_path / "n.wav")
    skipped = Skipped()
    assert names(listed(tmp_path, skipped=skipped), tmp_path) == ["a.wav"]
    assert {reason.split()[0]: count for reason, (count, _) in skipped.reasons.items() if reason[0] == "."} == {
        ".m4a": 2,
        ".mp4": 1,
        ".raw": 1,
    }
    assert skipped.reasons["a broken link"] == (2, str(tmp_path / "k.wav"))
    assert skipped.reasons["a tar file inside a folder: give it by name"] == (2, str(tmp_path / "f.tar"))
    assert skipped.reasons["a pipe, socket or device, not a file"] == (1, str(tmp_path / "n.wav"))
    assert skipped.count == 9
    assert f"skipped 2: a broken link (first: {tmp_path / 'k.wav'})" in skipped.lines()


def test_links_are_followed_once_and_never_in_a_loop(tmp_path: Path) -> None:
    touch(tmp_path, "root/a/x.wav", "outside/y.wav", "outside/deep/z.wav")
    root = tmp_path / "root"
    (root / "b").symlink_to(root)  # a loop
    (root / "a" / "up").symlink_to(tmp_path)  # a loop by way of the root's parent
    (root / "c").symlink_to(root / "a")  # listed already
    (root / "file.wav").symlink_to(tmp_path / "outside" / "y.wav")  # a file has as many names as it has links
    skipped = Skipped()
    found = names(listed(root, skipped=skipped), root)
    assert found == ["a/up/outside/deep/z.wav", "a/up/outside/y.wav", "a/x.wav", "file.wav"]
    assert skipped.reasons["a link to a folder that is listed already"][0] == 3  # b, c, a/up/root


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any folder")
def test_a_folder_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "closed/a.wav", "b.wav")
    (tmp_path / "closed").chmod(0)
    skipped = Skipped()
    try:
        assert names(listed(tmp_path, skipped=skipped), tmp_path) == ["b.wav"]
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert [path for _, path in skipped.reasons.values()] == [str(tmp_path / "closed")]


def test_globs(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.wav", "b.flac", "one/c.wav", "one/two/d.wav", "one/two/e.flac", ".hidden/f.wav", "g.txt", "h.m4a"
    )
    write_tar(tmp_path / "i.tar", {"x.wav": b""})
    for pattern, wanted in {
        "*.wav": ["a.wav"],
        "**/*.wav": ["a.wav", "one/c.wav", "one/two/d.wav"],
        "**/two/*": ["one/two/d.wav", "one/two/e.flac"],
        "*/*.wav": ["one/c.wav"],
        "one/t?o/[a-d]*": ["one/two/d.wav"],
        "o*": ["one/c.wav", "one/two/d.wav", "one/two/e.flac"],
        ".h*/*.wav": [".hidden/f.wav"],
        "*.m4a": ["h.m4a"],
        "*.txt": ["g.txt"],
        "*.tar": ["i.tar/x.wav"],
        "*": ["a.wav", "b.flac", "one/c.wav", "one/two/d.wav", "one/two/e.flac"],
    }.items():
        assert names(listed(tmp_path / pattern), tmp_path) == wanted, pattern
    for pattern in ("*.ogg", "none/*.wav", "g*"):
        with pytest.raises(InputError, match="no audio file fits this pattern"):
            listed(tmp_path / pattern)


@pytest.mark.parametrize("name", ["take [1].wav", "*.wav", "what?.wav", "a{1..3}.wav"])
def test_a_name_that_looks_like_a_pattern_is_the_file_that_has_it(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "take 1.wav", "a1.wav")
    assert names(listed(tmp_path / name), tmp_path) == [name]


def test_files_by_name_are_taken_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "b.xyz", "a.m4a")
    found = listed(tmp_path / "b.xyz", tmp_path / "a.m4a", tmp_path / "missing.wav")
    assert names(found, tmp_path) == ["b.xyz", "a.m4a", "missing.wav"]
    assert (found[2].size, found[2].mtime) == (0, 0)


CSV = {
    "comma": 'path,label\na.wav,x\n"deep/b, c.wav",y\n',
    "semicolon": 'label;path\nx;a.wav\ny;"deep/b, c.wav"\n',
    "tab": "label\tpath\nx\ta.wav\n\ny\tdeep/b, c.wav\n",
    "Windows": '\ufefflabel,"path"\r\n"two\r\nlines",a.wav\r\ny,"deep/b, c.wav"\r\n',
    "one column": 'path\na.wav\n"deep/b, c.wav"\n',
}


@pytest.mark.parametrize("dialect", CSV)
def test_csv(tmp_path: Path, dialect: str) -> None:
    touch(tmp_path, "a.wav", "deep/b, c.wav")
    (tmp_path / "list.csv").write_bytes(CSV[dialect].encode())
    found = listed(tmp_path / "list.csv")
    assert names(found, tmp_path) == ["a.wav", "deep/b, c.wav"]
    assert found[0].size == len("a.wav")
    assert found[0].mtime > 0


def manifest(path: Path, paths: list[str]) -> Path:
    rows = [{"path": one, "label": 1} for one in paths]
    if path.suffix == ".csv":
        path.write_text("path,label\n" + "".join(f"{one},1\n" for one in paths))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_manifests(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "lists/deep/a.wav", "b.wav")
    rows = ["deep/a.wav", "./deep/a.wav", str(tmp_path / "b.wav"), "../b.wav", "gone.wav", "s3-like/x.wav"]
    path = manifest(tmp_path / "lists" / f"list{suffix}", rows)
    wanted = ["deep/a.wav", "deep/a.wav", "../b.wav", "../b.wav", "gone.wav", "s3-like/x.wav"]
    assert names(listed(path), path.parent) == wanted
    for name, problem in {
        "nosuch": "has no (column|key) 'nosuch'",
        "label": r"(line|row) 1: column 'label' holds 1|line 2: .*|list\.csv.*",
    }.items():
        if not (suffix == ".csv" and name == "label"):  # all of a CSV is text
            with pytest.raises(InputError, match=problem):
                listed(path, path_column=name)
    manifest(path, ["deep/a.wav", "", "b.wav"])
    with pytest.raises(InputError, match=rf"list\{suffix}, (line [23]|row 2): column 'path' is empty"):
        listed(path)


def test_bad_manifests(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such manifest"):
        sources([str(tmp_path / "x.csv")], skipped=Skipped())  # at once, before anything is listed
    for name, content, problem in [
        ("empty.csv", "", "has no column 'path'"),
        ("short.csv", "label,path\nx\n", "line 2: column 'path' is empty"),
        ("bad.jsonl", '{"path": "a.wav"}\n{"path"\n', "line 2: is not JSON"),
        ("list.jsonl", '["a.wav"]\n', "line 1: has no key 'path'"),
        ("bad.parquet", "PAR1", "is not a Parquet file"),
    ]:
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=problem):
            listed(tmp_path / name)


def test_members_of_tar_files(tmp_path: Path) -> None:
    for number in range(3):
        members = {"./0/a.wav": b"aa" * 400, "b.json": b"{}", "c.m4a": b"", "d.FLAC": b"d" * number}
        write_tar(tmp_path / f"shard-{number:03d}.tar", members)
    skipped = Skipped()
    found = listed(tmp_path / "shard-{000..002}.tar", skipped=skipped)
    assert names(found, tmp_path) == [f"shard-{n:03d}.tar/{name}" for n in range(3) for name in ("0/a.wav", "d.FLAC")]
    assert [count for count, _ in skipped.reasons.values()] == [3]
    for source in found:
        assert source.mtime == os.stat(source.container).st_mtime_ns
        content = Path(source.container).read_bytes()[source.start : source.start + source.size]
        assert set(content) <= set(b"a" if source.path.endswith("wav") else b"d")
    assert [source.size for source in found] == [800, 0, 800, 1, 800, 2]


def test_long_and_foreign_names_in_tar_files(tmp_path: Path) -> None:
    names = ["x/" * 150 + "a.wav", "\udcff.wav", "ä.wav"]
    path = write_tar(tmp_path / "a.tar", {name: name.encode("utf-8", "surrogateescape") for name in names})
    assert [source.path for source in listed(path)] == [f"{path}/{name}" for name in names]
    for source, name in zip(listed(path), names, strict=True):
        content = path.read_bytes()[source.start : source.start + source.size]
        assert content.decode("utf-8", "surrogateescape") == name


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "empty": (lambda tar: b"", []),
    "no tar": (lambda tar: b"text" * 500, []),
    "cut in a header": (lambda tar: tar[:2000], ["a.wav"]),
    "cut in a recording": (lambda tar: tar[:2100], ["a.wav", "b.wav"]),
    "bad header": (lambda tar: tar[:1536] + b"\xff" * 512 + tar[2048:], ["a.wav"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_tar_file_is_a_source_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.wav": b"a" * 1000, "b.wav": b"b" * 1000})
    change, good = DAMAGES[damage]
    path.write_bytes(change(path.read_bytes()))
    found = listed(path, tmp_path / "other.wav")
    assert names(found, tmp_path) == [*(f"a.tar/{name}" for name in good), "a.tar", "other.wav"]
    assert [bool(source.container) for source in found] == [True] * len(good) + [False] * 2


def test_a_tar_file_may_be_missing_or_lack_its_end(tmp_path: Path) -> None:
    assert names(listed(tmp_path / "gone.tar"), tmp_path) == ["gone.tar"]
    path = write_tar(tmp_path / "a.tar", {"a.wav": b"a" * 1000, "b.wav": b"b" * 1000})
    path.write_bytes(path.read_bytes()[:3072])  # some writers leave out the two empty blocks
    assert names(listed(path), tmp_path) == ["a.tar/a.wav", "a.tar/b.wav"]


def test_a_compressed_tar_file_is_refused_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.tar.gz")
    with pytest.raises(InputError, match=r"a\.tar\.gz: .*unpack it, or recompress it as \.tar"):
        sources([str(tmp_path / "a.tar.gz")], skipped=Skipped())


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for name in (b"\xff.wav", b"a.wav", b"\xc3\xa4.wav"):
        with open(folder + b"/" + name, "wb") as file:
            soundfile.write(file, np.zeros(10), 16000, format="WAV")
    wanted = [b"a.wav", b"\xc3\xa4.wav", b"\xff.wav"]
    assert [os.path.basename(os.fsencode(source.path)) for source in listed(tmp_path)] == wanted
    assert len(listed(os.fsdecode(folder) + "/*.wav")) == 3
    (tmp_path / "list.csv").write_bytes(b"path\ncaf\xe9/\xff.wav\n")
    [source] = listed(tmp_path / "list.csv")
    assert os.fsencode(source.path) == folder + b"/\xff.wav"
    assert source.size == os.stat(folder + b"/\xff.wav").st_size
    assert shown(source.path) == f"{tmp_path}/caf\\xe9/\\xff.wav"
    assert shown("ä.wav") == "ä.wav"
    shown("\ud800.wav").encode()  # what JSON can hold and no file's name


def test_inputs_keep_their_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.wav", "a/y.wav", "c.wav")
    path = manifest(tmp_path / "list.jsonl", ["c.wav"])
    found = listed(path, tmp_path / "b", tmp_path / "a", tmp_path / "*.wav")
    assert names(found, tmp_path) == ["c.wav", "b/x.wav", "a/y.wav", "c.wav"]


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys, hear_audioformer.bulk.sources; print(sorted({'torch', 'fsspec', 'pyarrow'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.strip() == "[]"


def test_many_files_in_bounded_memory(tmp_path: Path) -> None:
    """20 000 files in 40 folders and a tar file of 3000: the peak is far below what all sources or members take."""
    for folder in range(40):
        (tmp_path / "tree" / f"{folder:02d}").mkdir(parents=True)
        for number in range(500):
            os.mknod(f"{tmp_path}/tree/{folder:02d}/{number:04d}-{'x' * 100}.wav")
    write_tar(tmp_path / "a.tar", {f"{number:05d}-{'x' * 80}.wav": b"" for number in range(3000)})
    code = (
        "import sys, tracemalloc\n"
        "from hear_audioformer.bulk.skipped import Skipped\n"
        "from hear_audioformer.bulk.sources import sources\n"
        "tracemalloc.start()\n"
        "for name in sys.argv[1:]:\n"
        "    tracemalloc.reset_peak()\n"
        "    before = tracemalloc.get_traced_memory()[0]\n"
        "    paths = [source.path[-1] for source in sources([name], skipped=Skipped())]\n"
        "    print(len(paths), tracemalloc.get_traced_memory()[1] - before)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "tree"), str(tmp_path / "a.tar")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
    (files, peak), (members, peak_of_tar) = (map(int, line.split()) for line in out.stdout.splitlines())
    assert (files, members) == (20_000, 3000)
    assert peak < 2_000_000  # all sources at once: more than 6 MB
    assert peak_of_tar < 1_000_000  # all members at once: more than 3 MB
