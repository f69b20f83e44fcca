"""Damaged tasks: test clips alone are damaged, as much as is said, and the same for everyone."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from evaluation.suites.open import degrade, plan
from evaluation.suites.open.perturb import main
from evaluation.suites.open.signals import generator, normalised, rms
from evaluation.tasks.check import faults
from evaluation.tasks.write import Clip, Event, write
from tests.corpora import archive

SPLITS = ("train", "valid", "test")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    scene = plan.scene("tone", "accuracy", 1 / 2, seconds=1.0)
    folds = plan.scene("fold", "accuracy", 1 / 2, seconds=None, folds=3)
    events = plan.events("knock", "onset_50ms", seconds=1.0, median_ms=0, shortest_ms=0)
    for task in (scene, folds, events):
        write(tmp_path / "tasks", task, _clips(task))
    return tmp_path / "tasks"


def _clips(task: plan.TaskMetadata) -> list[Clip]:
    result = []
    for place, split in enumerate(task.splits):
        for label in ("a", "b"):
            labels = [Event(label, 100.0, 200.0)] if task.embedding_type == "event" else [label]
            pcm = normalised(archive.sound(10 * place + ord(label), 0.6))
            result.append(Clip(split, f"{split}-{label}", pcm, labels, f"{split}-{label}"))
    return result


def _run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def _wavs(folder: Path, split: str) -> dict[str, np.ndarray]:
    return {path.name: soundfile.read(path)[0] for path in sorted((folder / "16000" / split).iterdir())}


def test_only_test_clips_are_damaged_and_labels_stay(tasks: Path, tmp_path: Path) -> None:
    result = _run(tasks, tmp_path / "out", "--snr", 10, "--noise", "white")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "out/tasks").iterdir())
    assert names == [
        *(f"fold_fold{n:02}_white10-open1-full" for n in range(3)),
        *("knock_white10-open1-full", "tone_white10-open1-full"),
    ]
    assert [faults(tmp_path / "out/tasks" / name) for name in names] == [[]] * 5
    for name in ("tone", "knock"):
        old, new = tasks / f"{name}-open1-full", tmp_path / f"out/tasks/{name}_white10-open1-full"
        for split in SPLITS:
            assert (old / f"{split}.json").read_text() == (new / f"{split}.json").read_text()
            before, after = _wavs(old, split), _wavs(new, split)
            same = [np.array_equal(before[file], after[file]) for file in before]
            assert same == [split != "test"] * len(before)
        assert (old / "groups.csv").read_text() == (new / "groups.csv").read_text()
        metadata = [json.loads((path / "task_metadata.json").read_text()) for path in (old, new)]
        assert metadata[1].pop("task_name") == f"{metadata[0].pop('task_name')}_white10"
        assert metadata[0] == metadata[1]


def test_every_fold_is_tested_once_and_validated_on_the_next(tasks: Path, tmp_path: Path) -> None:
    assert _run(tasks, tmp_path / "out", "--reverb").exit_code == 0
    for fold, valid, train in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        folder = tmp_path / f"out/tasks/fold_fold{fold:02}_reverb-open1-full"
        files = {split: list(json.loads((folder / f"{split}.json").read_text())) for split in SPLITS}
        assert files["test"] == [f"fold{fold:02}-a.wav", f"fold{fold:02}-b.wav"]
        assert files["valid"] == [f"fold{valid:02}-a.wav", f"fold{valid:02}-b.wav"]
        assert files["train"] == [f"fold{train:02}-a.wav", f"fold{train:02}-b.wav"]


def test_a_seed_fixes_all_and_another_changes_all(tasks: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        assert _run(tasks, tmp_path / name, "--snr", 5, "--reverb", "--seed", seed).exit_code == 0
    tests = [_wavs(tmp_path / name / "tasks/tone_pink5_reverb-open1-full", "test") for name in ("one", "again", "two")]
    for file in tests[0]:
        assert np.array_equal(tests[0][file], tests[1][file])
        assert not np.array_equal(tests[0][file], tests[2][file])
    first, second = tests[0].values()
    assert not np.array_equal(first[9600:], second[9600:])  # each clip has noise of its own


def test_noise_is_as_far_below_the_sound_as_is_said() -> None:
    clean = np.concatenate([np.zeros(4000), archive.sound(1), np.zeros(9000)])
    for kind in degrade.NOISES:
        noise = degrade.noise(kind, len(clean), generator(kind), archive.sound(2, 3.0))
        added = degrade.noisy(clean, noise, 12.0) - clean
        assert 20 * np.log10(rms(clean[4000:20000]) / rms(added)) == pytest.approx(12.0, abs=0.01)
        assert rms(added[20000:]) > 0.5 * rms(added)  # over what fills up, too
    assert not degrade.noisy(np.zeros(9), np.ones(9), 12.0).any()


def test_pink_noise_has_as_much_power_in_every_octave() -> None:
    power = np.abs(np.fft.rfft(degrade.noise("pink", 1 << 18, generator("pink"), np.zeros(0)))) ** 2
    octaves = [power[1 << k : 2 << k].sum() for k in range(11, 17)]
    assert max(octaves) / min(octaves) < 1.15


def test_rooms_add_echoes_and_leave_the_direct_sound_where_it_was() -> None:
    click = np.zeros(16000)
    click[1000] = 1.0
    shares = []
    for index in range(50):
        heard = degrade.reverberant(click, generator("room", index))
        assert np.abs(heard[:1000]).max() < 1e-9
        assert heard[1000] == pytest.approx(1.0)
        assert np.abs(heard[1001:1080]).max() < 1e-9
        echoes = heard[1080:]
        shares.append(10 * np.log10(np.square(echoes).sum()))
        assert rms(echoes[-1000:]) < 0.01 * rms(echoes[:1000])
    assert -10.1 <= min(shares) < -8
    assert -2 < max(shares) <= 0.1


def test_babble_is_fetched_and_needs_no_task(tasks: Path, tmp_path: Path) -> None:
    talk = {f"wav/{n}.wav": archive.encoded(archive.sound(n, 2.0)) for n in range(3)}
    mirror = archive.mirror(tmp_path / "mirror", {degrade.TALK: archive.sounds_deb(degrade.TALK, talk)})
    result = _run(tasks, tmp_path / "out", "--snr", -2.5, "--noise", "babble", "--mirror", mirror)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out/tasks/tone_babblem2p5-open1-full").is_dir()
    assert (tmp_path / f"out/licences/{degrade.TALK}/copyright").exists()
    missing = _run(tasks, tmp_path / "none", "--snr", 0, "--noise", "babble", "--mirror", tmp_path / "nowhere")
    assert missing.exit_code == 2
    assert "nowhere" in missing.output
    assert _run(tasks, tmp_path / "none").exit_code == 2
