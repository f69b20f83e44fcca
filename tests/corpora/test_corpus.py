"""The corpus command: packages and files of one's own, to shards, manifest and pack; whatever happens in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import soundfile

from corpora import clips, corpus, pack
from corpora.pack import Pack, PackError
from tests.corpora.archive import (
    COPYRIGHT,
    archive,
    corpus_json,
    deb,
    encoded,
    manifest,
    mirror,
    packed,
    run,
    served,
    sound,
)

ROOT = Path(__file__).parents[2]


def members(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


ALL = ("--package", "speech", "--package", "music", "--package", "various")


@pytest.mark.parametrize("form", ["flac", "opus"])
def test_packages_become_shards_a_manifest_and_a_pack(tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    result = run(out, "--mirror", archive(tmp_path / "mirror"), *ALL, "--format", form, "--keep")
    assert result.exit_code == 1  # broken.ogg
    assert result.stderr.startswith("3 to fetch and decode, ")  # before the first is done
    assert "various: usr/share/games/various/broken.ogg: " in result.output
    note, rows = corpus_json(out), manifest(out)
    assert note["dropped"] == {"too short": 1, "silent": 1, "duplicate": 1}
    assert len(rows) == note["clips"] == 6
    assert {(row["kind"], row["package"]) for row in rows} == {
        ("speech", "speech"),
        ("music", "music"),
        ("sfx", "various"),
    }
    assert sum(note["hours_by_kind"].values()) == pytest.approx(8 / 3600, abs=2e-4)
    [effect] = [row for row in rows if row["package"] == "various"]
    assert (effect["source_rate"], effect["version"], effect["licence"]) == ("44100", "1:2-3", "CC0-1.0")
    assert effect["deb_sha256"] == note["packages"]["various"]["sha256"]
    inside = {row["path"] for row in rows if row["package"] == "music"}
    assert inside == {f"usr/share/games/music/a.zip!music/{i}.flac" for i in range(2)}
    assert {path.name for path in (out / "debs").iterdir()} == {f"{name}_1%3a2-3.deb" for name in ALL[1::2]}
    assert all((out / "licences" / name / "copyright").read_text() == COPYRIGHT for name in ALL[1::2])
    assert not (out / "parts").exists()
    array = packed(out)
    assert array.fingerprint == note["fingerprint"] == clips.corpus_hash(row["sha256"] for row in rows)
    assert [array.packages[i] for i in array.package_of] == [row["package"] for row in rows]
    assert [array.kinds[i] for i in array.kind_of] == [row["kind"] for row in rows]
    assert array.keys == [row["key"] for row in rows]
    assert array.hours == pytest.approx(note["hours"], abs=1e-4)
    for index, row in enumerate(rows):
        clip = array.clip(index)
        assert len(clip) == int(row["samples"])
        if form == "flac":
            assert clips.sha256_of(clip) == row["sha256"]
    again = run(out, "--mirror", tmp_path / "mirror", *ALL, "--format", form)
    assert "6 clips, 0.00 h" in again.output
    assert "already" in again.output
    assert again.exit_code == 1  # what is broken stays so


def test_shards_are_plain_tars_and_webdatasets(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for i in range(40):
        soundfile.write(folder / f"{i}.wav", sound(i, 2.5), 16000)
    assert run(tmp_path / "out", "--from", folder, "--shard-mb", 1).exit_code == 0
    shards = sorted((tmp_path / "out" / "shards").iterdir())
    assert len(shards) > 2
    assert [path.name for path in shards] == [f"{i:06}.tar" for i in range(len(shards))]
    assert all(path.stat().st_size <= 1_000_000 for path in shards)
    held = [members(path) for path in shards]
    names = [name for one in held for name in one]
    rows = manifest(tmp_path / "out")
    assert names == [f"{row['key']}.{suffix}" for row in rows for suffix in ("flac", "json")]
    assert [row["shard"] for row in rows] == [f"{i:06}.tar" for i, one in enumerate(held) for _ in one[::2]]
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset([str(path) for path in shards], shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == [row["key"] for row in rows]
    pcm = soundfile.read(BytesIO(samples[0]["flac"]), dtype="int16")[0]
    assert clips.sha256_of(pcm) == samples[0]["json"]["sha256"]


def test_a_killed_run_goes_on_and_fetches_nothing_twice(tmp_path: Path) -> None:
    """kill -9 while the third of three packages is on its way."""
    folder, out = archive(tmp_path / "mirror"), tmp_path / "out"
    with served(folder) as server:
        words = [str(out), "--mirror", server.url, *ALL, "--jobs", "1"]
        server.stalling = "various_"
        process = subprocess.Popen([sys.executable, "-m", "corpora.corpus", *words], cwd=ROOT, text=True)
        try:
            assert server.stalled.wait(60)
            while len(list((out / "parts").glob("*.json"))) < 3:  # run.json too
                time.sleep(0.05)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert list((out / "parts").glob("work-*"))
        server.stalling = ""
        server.go.set()
        result = run(*words)
        assert result.exit_code == 1
        assert "2 of 3 are there already" in result.output
        assert server.asked["speech_2-3_all.deb"] == server.asked["music_2-3_all.deb"] == 1
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock", "corpus.json", "licences", "manifest.csv", "shards",
    ]  # fmt: skip
    run(tmp_path / "straight", "--mirror", folder, *ALL)
    assert corpus_json(out)["fingerprint"] == corpus_json(tmp_path / "straight")["fingerprint"]
    for shard in (out / "shards").iterdir():
        assert shard.read_bytes() == (tmp_path / "straight" / "shards" / shard.name).read_bytes()


def test_killed_between_any_two_steps_of_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replacement of a file is a moment at which a run may have ended."""
    folder, out = archive(tmp_path / "mirror"), tmp_path / "out"
    words = (out, "--mirror", folder, "--package", "speech", "--package", "music")
    replace, calls = os.replace, 0

    def dying(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == limit:
            raise SystemExit(9)
        replace(*arguments)

    for limit in range(1, 20):  # noqa: B007
        calls = 0
        monkeypatch.setattr(os, "replace", dying)
        code = run(*words, "--jobs", 1).exit_code
        monkeypatch.setattr(os, "replace", replace)
        if code == 0:
            break
        assert run(*words).exit_code == 0
        assert len(packed(out)) == 5
        shutil.rmtree(out)
    assert limit > 8
    assert len(packed(out)) == 5


def test_a_broken_package_stops_no_other(tmp_path: Path) -> None:
    folder, out = archive(tmp_path / "mirror"), tmp_path / "out"
    good = (folder / "pool" / "music_2-3_all.deb").read_bytes()
    (folder / "pool" / "music_2-3_all.deb").write_bytes(b"changed on its way")
    words = (out, "--mirror", folder, "--package", "speech", "--package", "music", "--package", "none")
    result = run(*words)
    assert result.exit_code == 1
    assert "other options" in run(*words, "--format", "opus").output
    assert "  music: the download's SHA-256" in result.output
    assert "  none: not in" in result.output
    assert corpus_json(out)["clips"] == 3
    (folder / "pool" / "music_2-3_all.deb").write_bytes(good)
    (folder / "pool" / "speech_2-3_all.deb").unlink()  # is not asked for again
    result = run(*words)
    assert [line.split(":")[0] for line in corpus_json(out)["failed"]] == ["none"]
    assert corpus_json(out)["clips"] == 5
    assert run(*words[:-2]).exit_code == 0  # content with what there is
    assert not (out / "parts").exists()


def test_a_package_without_a_licence_is_not_taken(tmp_path: Path) -> None:
    folder = mirror(tmp_path / "mirror", {"x": deb({"usr/share/x/a.wav": encoded(sound(0))})})
    result = run(tmp_path / "out", "--mirror", folder, "--package", "x")
    assert "holds no copyright file" in result.output
    assert "no clips were found" in result.output
    assert result.exit_code == 2


@pytest.mark.parametrize("name", ["kajongg", "asterisk-core-sounds-en-gsm"])
def test_packages_of_the_evaluation_are_refused(tmp_path: Path, name: str) -> None:
    result = run(tmp_path / "out", "--package", name)
    assert result.exit_code == 2
    assert f"{name}: used by the evaluation" in result.output
    assert not (tmp_path / "out").exists()


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    words = (tmp_path / "out", "--mirror", archive(tmp_path / "mirror"), "--package", "speech")
    (tmp_path / "out").mkdir()
    with corpus.locked(tmp_path / "out"):
        result = run(*words)
    assert (result.exit_code, "another run is at work" in result.output) == (2, True)
    assert run(*words).exit_code == 0


def test_packs_that_are_not_what_they_say_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(PackError, match="no finished corpus"):
        pack.make(tmp_path)
    run(out, "--mirror", archive(tmp_path / "mirror"), "--package", "speech")
    with pytest.raises(PackError, match="has no pack"):
        Pack.open(out)
    array = packed(out)
    assert len(array) == 3
    assert (Pack.open(out / "pack.int16").samples == array.samples).all()
    with open(out / "pack.int16", "ab") as file:
        file.write(b"xx")
    with pytest.raises(PackError, match="not as long"):
        Pack.open(out)
    note = corpus_json(out)
    (out / "corpus.json").write_text(json.dumps({**note, "fingerprint": "0"}))
    with pytest.raises(PackError, match=r"not those of corpus\.json"):
        pack.make(out)
