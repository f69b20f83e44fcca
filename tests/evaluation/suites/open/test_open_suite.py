"""The tasks of the suite, from packages in miniature: every one as HEAR's kit reads it, and none with a leak."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from corpora import pack
from evaluation.suites.open import fetch, leakage, patterns, scapes, speech_music, suite, voices
from evaluation.suites.open.__main__ import main
from evaluation.suites.open.recordings import Library
from evaluation.suites.open.signals import generator, rms
from evaluation.tasks import write as hear_format
from evaluation.tasks.check import faults
from tests.corpora import archive
from tests.evaluation import trees

FEW = {"train": 12, "valid": 4, "test": 8}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return trees.library(tmp_path_factory.mktemp("suite") / "clips")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixtures by the dozen instead of by the thousand."""
    monkeypatch.setattr(speech_music, "CROPS", 24)
    for module, name in ((scapes, "MIXTURES"), (patterns, "BARS"), (voices, "MIXTURES")):
        monkeypatch.setattr(module, name, FEW)


@pytest.mark.parametrize("plan", suite.PLANS, ids=suite.NAMES)
def test_every_task_is_as_the_kit_reads_it_and_tests_on_what_it_did_not_train_on(
    plan: suite.Plan, library: Library, tmp_path: Path
) -> None:
    folder = hear_format.write(tmp_path / "tasks", plan.task, plan.clips(library))
    assert faults(folder) == []
    with open(folder / "groups.csv", newline="") as file:
        sides = defaultdict(set)
        for row in csv.DictReader(file):
            sides[row["group"]].add("train" if row["split"] == "valid" else row["split"])
    assert all(len(side) == 1 for side in sides.values())
    peaks = [np.abs(soundfile.read(path, dtype="int16")[0]).max() for path in folder.glob("16000/*/*.wav")]
    assert min(peaks) > 23000 * 0.9
    assert max(peaks) <= 23198
    assert [path.name for path in tmp_path.iterdir()] == ["tasks"]


def test_tasks_are_the_same_every_time(library: Library) -> None:
    for name in ("events", "pattern", "count"):
        [plan] = suite.choose([name])
        first, second = (
            {clip.name: (clip.split, clip.pcm.tobytes(), repr(clip.labels)) for clip in plan.clips(library)}
            for _ in range(2)
        )
        assert first == second


def test_packages_of_plans_are_all_that_their_clips_need(library: Library, tmp_path: Path) -> None:
    for plan in suite.PLANS:
        mine = Library(tmp_path / plan.task.name)
        mine.folder.mkdir()
        for package in plan.packages:
            for path in library.folder.glob(f"{library.result(package).bin.stem}*"):
                (mine.folder / path.name).symlink_to(path)
        assert next(iter(plan.clips(mine)))


def test_music_of_mixtures_carries_events_where_they_are_said_to_be() -> None:
    effects = {kind: [scapes.Sample(kind, archive.sound(n, 0.3))] for n, kind in enumerate(scapes.CLASSES)}
    background, counts = 0.01 * archive.sound(99, scapes.SECONDS), set()
    for index in range(200):
        mixed, placed = scapes.mixture(background, effects, generator("test", index))
        counts.add(len(placed))
        quiet = np.ones(len(mixed), bool)
        for event in placed:
            start, end = (round(16 * moment) for moment in (event.start, event.end))
            assert event.start % 10 == 0
            assert rms(mixed[start:end]) > 1.2 * rms(background[start:end])
            quiet[start:end] = False
            beside = [other for other in placed if other.start <= event.start < other.end]
            assert len(beside) <= scapes.TOGETHER
            same = [other for other in placed if other.label == event.label and other != event]
            assert all(abs(other.start - event.start) >= 300 + 250 for other in same)
        assert np.array_equal(mixed[quiet], background[quiet])
    assert counts == {1, 2, 3, 4, 5}


def test_bars_have_strokes_where_they_are_said_to_be_and_nowhere_else() -> None:
    click = np.zeros(160)
    click[0] = 1.0
    kit = {name: [click] for name in patterns.CLASSES[:5]}
    for index in range(100):
        mixed, placed = patterns.bar(kit, generator("test", index))
        assert placed
        assert {event.label for event in placed} <= kit.keys()
        assert set(np.flatnonzero(mixed)) == {round(16 * event.start) for event in placed}
        assert placed[-1].end <= 5000


def test_voices_of_a_mixture_are_equally_loud() -> None:
    left, right = np.zeros(64000), np.zeros(64000)
    left[:16000], right[:16000] = 0.9 * archive.sound(1), 0.01 * archive.sound(2)
    one = voices.mixture([left[:16000]], generator("a"))
    both = voices.mixture([left[:16000], right[:16000]], generator("a"))
    none = voices.mixture([], generator("a"))
    assert rms(one - none) == pytest.approx(0.5, rel=0.01)  # a quarter of the clip at 1
    assert rms(both - one) == pytest.approx(0.5, rel=0.01)
    assert rms(none) == pytest.approx(10 ** (-30 / 20), rel=0.02)


def test_expected_counts_are_met_or_not() -> None:
    clips = [("train", ["a"])] * 90 + [("valid", ["a"])] * 10 + [("test", ["b"])] * 50
    expected = {("train", "a"): 100, ("test", ""): 50, ("", "a"): 101, ("", "b"): 60, ("test", "b"): 80}
    near, off, far = suite.verdicts(clips, expected)
    assert [line.split(":")[0] for line in near] == ["train a", "test", "a"]
    assert off == ["b: 50 clips, expected 60"]
    assert far == ["test b: 50 clips, expected 80"]


def test_tasks_are_chosen_by_name_or_by_what_their_names_share() -> None:
    assert [plan.task.name for plan in suite.choose(["word", "drum"])] == ["word_de", "word_xx", "drum"]
    assert suite.choose([]) == list(suite.PLANS)
    with pytest.raises(ValueError, match=r"no task words; there are word_de, .*count"):
        suite.choose(["drum", "words"])


def test_one_command_fetches_writes_and_goes_on(tmp_path: Path) -> None:
    mirror = archive.mirror(tmp_path / "mirror", {"kajongg": _deb("kajongg")})
    result = _run(tmp_path / "out", "--mirror", mirror, "--tasks", "word")
    assert result.exit_code == 1  # three words are not 42
    assert "word_de: 12 clips (fold00 3, fold01 3, fold02 3, fold03 3), 3 classes; 0 of 1" in result.output
    assert "error: in all: 12 clips, expected 167" in result.output
    tasks = sorted((tmp_path / "out/tasks").iterdir())
    assert [path.name for path in tasks] == ["word_de-open1-full", "word_xx-open1-full"]
    assert [faults(path) for path in tasks] == [[], []]
    assert (tmp_path / "out/licences/kajongg/copyright").read_text() == archive.COPYRIGHT
    for path in (tmp_path / "mirror/pool").iterdir():  # nothing is fetched again
        path.unlink()
    (tasks[0] / "marker").touch()
    again = _run(tmp_path / "out", "--mirror", mirror, "--tasks", "word", "--rates", "16000,32000")
    assert "word_xx: 12 clips" in again.output
    assert not (tasks[0] / "marker").exists()
    assert (tasks[0] / "32000/fold00").is_dir()


def test_a_package_that_cannot_be_had_stops_its_tasks_alone(tmp_path: Path) -> None:
    mirror = archive.mirror(tmp_path / "mirror", {"kajongg": _deb("kajongg")})
    result = _run(tmp_path / "out", "--mirror", mirror, "--tasks", "word_de,speaker")
    assert result.exit_code == 1
    assert "speaker: not made without hedgewars-data" in result.output
    assert "hedgewars-data: not in" in result.output
    assert [path.name for path in (tmp_path / "out/tasks").iterdir()] == ["word_de-open1-full"]


def test_without_ffmpeg_prompts_come_as_wav(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {"asterisk-core-sounds-en", "asterisk-moh-opsound", "kajongg"}
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert fetch.coded(packages) == ["asterisk-core-sounds-en-g722", "kajongg", "asterisk-moh-opsound-g722"]
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert fetch.coded(packages) == ["asterisk-core-sounds-en-wav", "kajongg", "asterisk-moh-opsound-wav"]
    every = {package for plan in suite.PLANS for package in plan.packages}
    assert len(fetch.coded(every)) == len(every)


def test_a_corpus_with_recordings_of_the_suite_is_found_out(library: Library, tmp_path: Path) -> None:
    sounds = {
        "copied.wav": _first("kajongg"),
        "fainter.wav": _first("ufoai-sound", 0.5),
        "own.wav": archive.encoded(archive.sound(4711)),
    }
    mirror = archive.mirror(tmp_path / "mirror", {"game": archive.sounds_deb("game", sounds)})
    assert archive.run(tmp_path / "corpus", "--package", "game", "--mirror", mirror).exit_code == 0
    manifest = tmp_path / "corpus/manifest.csv"
    by_hash = leakage.check(library, ["kajongg", "ufoai-sound"], manifest)
    assert [line.split("/")[-1] for line in by_hash.matches] == ["copied.wav (its recording is the evaluation's)"]
    pack.make(tmp_path / "corpus")
    by_print = leakage.check(library, ["kajongg", "ufoai-sound"], manifest)
    assert (by_print.clips, by_print.by_fingerprint) == (3, True)
    assert sorted(line.split("/")[-1].split()[0] for line in by_print.matches) == ["copied.wav", "fainter.wav"]
    text = manifest.read_text().replace("game", "klettres-data")
    (tmp_path / "manifest.csv").write_text(text)
    by_name = leakage.check(library, ["kajongg"], tmp_path / "manifest.csv")
    assert len(by_name.matches) == 3


def test_the_command_fails_by_naming_what_leaks(library: Library, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/clips").symlink_to(library.folder)
    row = library.result("kajongg").rows[0]
    (tmp_path / "manifest.csv").write_text(f"package,path,sha256\ngame,a.ogg,{row.sha256}\ngame,b.ogg,{'0' * 64}\n")
    result = _run(tmp_path / "out", "--tasks", "word_de", "--check-against", tmp_path / "manifest.csv")
    assert result.exit_code == 1
    assert "2 clips compared by hash alone" in result.output
    assert "game: a.ogg (its recording is the evaluation's)" in result.output
    assert "b.ogg" not in result.output


def test_metadata_name_scores_and_chances() -> None:
    metadata = {plan.task.name: plan.task.extra["open_suite"] for plan in suite.PLANS}
    scores = {name: entry["score"] for name, entry in metadata.items()}
    assert {name for name, score in scores.items() if score == "mean_recall"} == {
        *("lang", "family", "drum", "sfx_ab", "sfx_ba")
    }
    assert (scores["pitch"], scores["events"], scores["pattern"]) == ("pitch", "onset_200ms", "onset_50ms")
    assert metadata["word_de"]["chance"] == pytest.approx(1 / 42, abs=1e-4)
    assert metadata["pitch"]["chance"] == pytest.approx(1 / 83, abs=1e-4)
    assert len(scores) == 13


def _deb(name: str) -> bytes:
    [tree] = [tree for tree in trees.trees() if tree.step == name]
    files = {path: archive.encoded(archive.sound(trees.hash_of(path), 0.3)) for path, _, _ in tree.entries}
    return archive.deb({f"usr/share/doc/{name}/copyright": archive.COPYRIGHT.encode(), **files})


def _first(package: str, gain: float = 1.0) -> bytes:
    """A file as in a package in miniature."""
    [tree] = [tree for tree in trees.trees() if tree.step == package]
    path, seconds, _ = tree.entries[0]
    return archive.encoded(gain * archive.sound(trees.hash_of(package + path), seconds))


def _run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])
