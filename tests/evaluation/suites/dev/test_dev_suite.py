"""The development tasks as a whole: nothing of the evaluation in them, equal when made again, errors that help."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from corpora.pack import PackError
from corpora.synthesis.programs import ProgramError
from evaluation.suites.dev import notes, suite
from evaluation.suites.dev.__main__ import main
from evaluation.suites.dev.library import Library, draw, round_robin
from evaluation.tasks import check as hear_format_check
from evaluation.tasks import tasks
from evaluation.tasks.write import RATE
from tests.evaluation.corpus_of_noise import PEAK, recording, write


def test_packages_of_the_evaluation_are_refused(tmp_path: Path) -> None:
    paths = [("naev-data", "a.ogg", "sfx", 0.1), ("minetest-data", "b.ogg", "sfx", 0.1)]
    with pytest.raises(PackError, match=r"evaluation.*minetest-data"):
        Library(write(tmp_path, paths))


def test_a_manifest_that_is_not_the_packs_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [("naev-data", f"{name}.ogg", "sfx", 0.1) for name in "abc"])
    first, second, *rest = (tmp_path / "manifest.csv").read_text().splitlines(keepends=True)
    (tmp_path / "manifest.csv").write_text("".join([first, *rest, second]))
    with pytest.raises(PackError, match="differ"):
        Library(tmp_path)


def test_a_draw_keeps_what_it_drew_when_the_corpus_grows() -> None:
    few = [recording("p", f"{n}.wav", n) for n in range(50)]
    more = few + [recording("p", f"{n}.wav", n) for n in range(50, 60)]
    first, second = draw(few, 20, "salt"), draw(more, 20, "salt")
    assert len(set(first) & set(second)) >= 14
    assert [item for item in second if item in few] == [item for item in first if item in second]
    assert draw(few, 20, "salt") != draw(few, 20, "pepper")


def test_groups_take_turns() -> None:
    items = ["a1", "a2", "a3", "a4", "b1", "c1", "c2"]
    assert round_robin(items, lambda item: item[0], 5) == ["a1", "b1", "c1", "a2", "c2"]
    assert round_robin(["a1", "b1"], lambda item: item[0], 5) == ["a1", "b1"]


def test_every_task_has_a_known_score() -> None:
    assert {entry.score for entry in suite.SUITE.values()} <= set(tasks.SCENE_SCORES)
    assert all(name.startswith("dev_") for name in suite.SUITE)


def run(corpus: Path, out: Path, *options: str) -> str:
    result = CliRunner().invoke(main, [str(corpus), str(out), *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_writes_tasks_that_the_kit_and_the_probe_read(noise: Path, tmp_path: Path) -> None:
    names = ("dev_speaker", "dev_style")
    output = run(noise, tmp_path / "one", "--tasks", ",".join(names))
    run(noise, tmp_path / "two", "--tasks", ",".join(names))
    written = tasks.find(tmp_path / "one" / "tasks")
    assert tuple(task.name for task in written) == names
    assert "| dev_style | whose music | 2 | 48 | 18 / 6 / 24 | track | accuracy | 50.0 |" in output
    assert len({line.count("|") for line in output.splitlines()}) == 1
    assert written[1].chance == 0.5
    assert [task.score for task in written] == ["accuracy", "accuracy"]
    for task, again in zip(written, tasks.find(tmp_path / "two" / "tasks"), strict=True):
        assert not list(hear_format_check.faults(task.folder))
        assert task.items == again.items
        assert task.audio_hash(RATE) == again.audio_hash(RATE)
        for item in task.items:
            samples, rate = soundfile.read(task.audio(item, RATE), dtype="int16")
            assert rate == RATE
            assert abs(np.abs(samples.astype(int)).max() - PEAK) <= 1


@pytest.mark.parametrize(
    ("names", "words"),
    [("dev_nothing", "no task named dev_nothing"), ("dev_sfx_ab,dev_pitch", "apt install fluidsynth")],
)
def test_nothing_is_made_when_a_task_cannot_be(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str, words: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    result = CliRunner().invoke(main, [str(noise), str(tmp_path), "--tasks", names])
    assert result.exit_code
    assert words in result.output
    assert not (tmp_path / "tasks").exists()


def test_a_corpus_that_holds_too_little_is_refused(tmp_path: Path) -> None:
    few = write(tmp_path / "few", [("naev-data", "a.ogg", "music", 1.0)])
    result = CliRunner().invoke(main, [str(few), str(tmp_path), "--tasks", "dev_style"])
    assert result.exit_code
    assert "dev_style: the corpus holds too little" in result.output


def test_missing_banks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "FOLDER", tmp_path)
    with pytest.raises(ProgramError, match="apt install opl3-soundfont csound-soundfont"):
        notes.find_banks()
