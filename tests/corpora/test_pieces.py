"""Pieces: small enough, complete or refused, and a corpus that says where it comes from."""

import csv
import hashlib
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from corpora import clips, pieces, shards
from corpora.index import Index
from tests.corpora.archive import archive, corpus_json, manifest, packed, run


def command(*words: object) -> Result:
    return CliRunner().invoke(pieces.main, [str(word) for word in words])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    words = ("--mirror", archive(folder / "mirror"), "--package", "speech", "--package", "music")
    assert run(folder / "out", *words).exit_code == 0
    return folder / "out"


@pytest.fixture(scope="module")
def carried(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("carried") / "deep" / "pieces"
    result = command("pack", corpus, out, "--piece-mb", 1)
    assert result.exit_code == 0, result.output
    assert "2 pieces, 0.0 MB" in result.output
    return out


def test_a_corpus_arrives(corpus: Path, carried: Path, tmp_path: Path) -> None:
    result = command("unpack", *carried.iterdir(), tmp_path / "new")
    assert result.exit_code == 0, result.output
    note, original = corpus_json(tmp_path / "new"), corpus_json(corpus)
    assert note["original"] == {"fingerprint": original["fingerprint"], "format": "flac"}
    assert (note["format"], note["clips"], note["packages"]) == ("opus", 5, original["packages"])
    assert note["fingerprint"] != original["fingerprint"]
    rows, before = manifest(tmp_path / "new"), manifest(corpus)
    assert [row["key"] for row in rows] == [row["key"] for row in before]
    assert [row["original_sha256"] for row in rows] == [row["sha256"] for row in before]
    for about, data in shards.read(tmp_path / "new"):
        assert about["sha256"] == hashlib.sha256(data).hexdigest()
    assert note["fingerprint"] == clips.corpus_hash(row["sha256"] for row in rows)
    for path in (corpus / "licences").rglob("*"):
        if path.is_file():
            assert (tmp_path / "new" / path.relative_to(corpus)).read_text() == path.read_text()


def test_what_arrives_can_be_trained_on(corpus: Path, carried: Path, tmp_path: Path) -> None:
    assert command("unpack", carried, tmp_path / "new").exit_code == 0
    pack, original, index = packed(tmp_path / "new"), packed(corpus), Index.open(tmp_path / "new")
    assert pack.fingerprint == index.fingerprint == corpus_json(tmp_path / "new")["fingerprint"]
    assert np.array_equal(pack.lengths, original.lengths)
    assert np.array_equal(index.lengths, original.lengths)
    for clip in range(len(pack)):
        assert np.corrcoef(pack.clip(clip), original.clip(clip))[0, 1] > 0.8


def test_pieces_of_opus_are_the_clips_themselves(carried: Path, tmp_path: Path) -> None:
    """Carried twice, nothing is coded twice, and the first original is still named."""
    assert command("unpack", carried, tmp_path / "new").exit_code == 0
    assert command("pack", tmp_path / "new", tmp_path / "again").exit_code == 0
    assert (tmp_path / "again" / "000000.tar").read_bytes() == (carried / "000000.tar").read_bytes()
    assert command("unpack", tmp_path / "again", tmp_path / "newer").exit_code == 0
    assert corpus_json(tmp_path / "newer")["original"] == corpus_json(tmp_path / "new")["original"]


def test_no_piece_is_larger_than_asked(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "encode", lambda pcm, encoding: bytes(300_000))
    summary = pieces.pack(corpus, tmp_path / "out", 1, jobs=1)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert summary["pieces"].keys() | {pieces.ABOUT} == sizes.keys() == {"000000.tar", "000001.tar", pieces.ABOUT}
    assert max(sizes.values()) <= 1_000_000


def test_missing_and_damaged_pieces_are_named(carried: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pieces"
    shutil.copytree(carried, folder)
    data = bytearray((folder / "000000.tar").read_bytes())
    data[600] ^= 1
    (folder / "000000.tar").write_bytes(data)
    result = command("unpack", folder, tmp_path / "new")
    assert (result.exit_code, "000000.tar is damaged" in result.output) == (1, True)
    (folder / "000000.tar").unlink()
    assert "1 of 1 pieces are missing: 000000.tar" in command("unpack", folder, tmp_path / "new").output
    (folder / pieces.ABOUT).unlink()
    assert f"{pieces.ABOUT} is missing" in command("unpack", folder, tmp_path / "new").output
    assert [path.name for path in tmp_path.iterdir()] == ["pieces"]  # nothing half done


def test_nothing_is_overwritten(corpus: Path, carried: Path, tmp_path: Path) -> None:
    for words in (("pack", corpus, tmp_path), ("unpack", carried, tmp_path)):
        result = command(*words)
        assert (result.exit_code, "is there already" in result.output) == (1, True)
    assert "holds no finished corpus" in command("pack", tmp_path, tmp_path / "out").output


def test_pieces_are_plain_tars(carried: Path) -> None:
    with tarfile.open(carried / pieces.ABOUT) as tar:
        content = tar.extractfile("manifest.csv")
        assert content is not None
        rows = list(csv.DictReader(content.read().decode().splitlines()))
    with tarfile.open(carried / "000000.tar") as tar:
        names = tar.getnames()
    assert names == [f"{row['key']}.{suffix}" for row in rows for suffix in ("opus", "json")]
