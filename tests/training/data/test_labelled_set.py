"""A labelled set: what is taken from corpora and what is not, how often it is drawn, and that it stays what it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from corpora.pack import PackError
from tests.corpora.archive import sound
from tests.training.data.labelled_corpus import Clip, solos, tone, write
from training.data import make_labelled_set
from training.data.labelled_set import SYNTHESIS, LabelledSet, Source, odds
from training.data.plain import PLAIN


def effects(folder: Path, more: list[Clip] | None = None) -> Path:
    """Explosions in two packages of each split, a rare class, something without a name."""
    made: list[Clip] = []
    for place, package in enumerate(("naev-data", "krank", "triplea", "scorched3d-data")):
        for number in range(4):
            made.append((package, f"snd/explosion{number}.ogg", "sfx", {}, sound(10 * place + number)))
    made.append(("naev-data", "snd/parrot.ogg", "sfx", {}, sound(90)))
    made.append(("naev-data", "snd/zzz.ogg", "sfx", {}, sound(91)))
    return write(folder, made + (more or []), fingerprint="effects")


def made(tmp_path: Path, more: list[Clip] | None = None) -> LabelledSet:
    corpora = [effects(tmp_path / "effects", more), solos(tmp_path / "solos")]
    return make_labelled_set.make(tmp_path / "set", corpora, 10, 0.5, seed=0)


def test_a_set_comes_back_as_it_was_made(tmp_path: Path) -> None:
    table = made(tmp_path)
    again = LabelledSet.open(tmp_path / "set")
    assert (again.classes, again.sources, again.fingerprint) == (table.classes, table.sources, table.fingerprint)
    assert {"explosion", "music", "low", "high", "tone", "noise"} <= set(table.classes)
    assert "bird" not in table.classes  # one clip makes no class
    recorded = [source for source in table.sources if source.corpus != SYNTHESIS]
    assert len(recorded) == 16 + 24
    train = [source for source in recorded if source.split == "train"]
    assert table.hours == pytest.approx(sum(len(table.clip(source)) for source in train) / 16000 / 3600)
    low = next(source for source in recorded if "low" in source.tags)
    assert np.array_equal(table.clip(low), np.round(32767 * tone(250.0)).astype(np.int16))


def test_no_group_is_in_both_splits(tmp_path: Path) -> None:
    table = made(tmp_path)
    groups = {
        split: {(s.corpus, s.group) for s in table.sources if s.split == split and s.corpus != SYNTHESIS}
        for split in ("train", "valid")
    }
    assert groups["train"]
    assert groups["valid"]
    assert not groups["train"] & groups["valid"]
    assert {s.clip for s in table.of_split("valid") if s.corpus == SYNTHESIS} == set(PLAIN)


def test_what_sounds_like_validation_is_not_learnt_from(tmp_path: Path) -> None:
    """The same recording in a training package, at half the level; the other takes of it stay."""
    copied = 0.5 * sound(20)  # the first of triplea's
    table = made(tmp_path, [("naev-data", "snd/bomb.ogg", "sfx", {}, copied)])
    paths = [s for s in table.sources if s.corpus == 0 and s.split == "train"]
    assert len(paths) == 8
    assert made(tmp_path / "other", [("naev-data", "snd/bomb.ogg", "sfx", {}, sound(50))]).hours > table.hours


def test_packages_of_the_evaluation_are_refused(tmp_path: Path) -> None:
    corpus = effects(tmp_path / "c", [("hedgewars-data", "Sounds/explosion.ogg", "sfx", {}, sound(60))])
    small = ["--mixtures", "2", "--seconds", "0.5"]
    result = CliRunner().invoke(make_labelled_set.main, [str(tmp_path / "set"), "--corpus", str(corpus), *small])
    assert result.exit_code == 1
    assert "holds packages of the evaluation (hedgewars-data)" in result.output
    assert not (tmp_path / "set").exists()


def test_another_corpus_in_its_place_is_noticed(tmp_path: Path) -> None:
    made(tmp_path)
    write(tmp_path / "solos", [("a", "b", "sfx", {}, tone(100.0))], fingerprint="new")
    with pytest.raises(PackError, match="its corpora are others"):
        LabelledSet.open(tmp_path / "set")
    with pytest.raises(PackError, match=r"python -m training\.data\.make_labelled_set"):
        LabelledSet.open(tmp_path / "nothing")


def test_the_command_prints_each_class(tmp_path: Path) -> None:
    corpora = [f"--corpus={effects(tmp_path / 'e')}", f"--corpus={solos(tmp_path / 's')}"]
    result = CliRunner().invoke(
        make_labelled_set.main, [str(tmp_path / "set"), *corpora, "--mixtures", "4", "--seconds", "0.5"]
    )
    assert result.exit_code == 0, result.output
    lines = {line[:32].strip(): line[32:].split() for line in result.output.splitlines()}
    assert lines["explosion"] == ["8", "0.00", "2", "8", "0.00", "2"]
    assert lines["tone"] == ["synthesis", "synthesis"]
    assert len(LabelledSet.open(tmp_path / "set").valid().audio) == 4


def test_classes_are_drawn_alike_and_groups_by_the_root_of_their_size() -> None:
    sources = [Source(0, str(i), "train", "big", ("a",)) for i in range(9)]
    sources += [Source(0, "x", "train", "small", ("a", "b")), Source(0, "y", "train", "small", ("c",))]
    found = odds(sources, ["a", "b", "c", "unheard"])
    assert found.sum().item() == pytest.approx(1.0)
    assert found[:9].tolist() == pytest.approx([3 / 4 / 9 / 3] * 9)  # three parts of four, as 9 ** 0.5 to 1
    assert found[9:].tolist() == pytest.approx([(1 / 4 + 1) / 3, 1 / 3])
    assert found.dtype == torch.float64


def test_notes_are_computed_where_recordings_have_labels_of_keys(tmp_path: Path) -> None:
    clips: list[Clip] = [
        ("manifest", f"{split}/key/{key}/{number}.flac", "key", {"label": f"music;note {key}"}, tone(300.0 + number))
        for split in ("train", "valid")
        for key in (60, 61)
        for number in range(6)
    ]
    table = make_labelled_set.make(tmp_path / "set", [write(tmp_path / "keys", clips)], 4, 0.5, seed=0)
    made = {source.clip for source in table.sources if source.corpus == SYNTHESIS}
    assert made == {*PLAIN, "note 60", "note 61"}
