"""Archives as HEAR's are, but tiny: what comes out of whole ones, and what is said of damaged ones."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.kit import clips
from evaluation.kit.environment import KitError
from evaluation.tasks import archives as prepare
from evaluation.tasks import write as hear_format
from evaluation.tasks.write import Clip, TaskMetadata
from hear_audioformer import audio

SPLITS = ("train", "valid", "test")
CLIPS = 2  # in each split
FIXED, FREE = "tones-open1-full", "stretches-open1-full"
SECONDS = {FIXED: 0.81, FREE: None}  # as in mridangam, whose 17860.5 samples at 22.05 kHz must be rounded; as in FSD50K
TONE = 440


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder where unpacked tasks at 48 kHz lie, archives go, and tasks shall be."""
    for folder, seconds in SECONDS.items():
        task = TaskMetadata(folder.split("-")[0], "scene", "multiclass", "trainvaltest", SPLITS, seconds, ("top1_acc",))
        hear_format.write(tmp_path / "unpacked", task, sounds(seconds), (clips.SOURCE,))
    (tmp_path / "archives").mkdir()
    return tmp_path


def sounds(seconds: float | None) -> list[Clip]:
    """Tones, of lengths that differ where a task lets them."""
    made = []
    for number, split in enumerate(SPLITS):
        for other in range(CLIPS):
            length = round((seconds or 0.3 + 0.1 * other) * hear_format.RATE)
            tone = 8192 * np.sin(2 * np.pi * TONE / hear_format.RATE * np.arange(length))
            label = "ab"[other]
            made.append(Clip(split, f"{split}{other}", tone.astype(np.int16), [label], f"{number}"))
    return made


def pack(folder: Path, task: str, prefix: str = "tasks") -> Path:
    """An archive of an unpacked task, with its tables behind its audio."""
    archive = folder / "archives" / f"{prepare.PREFIX}{task}{prepare.SUFFIX}"
    unpacked = folder / "unpacked" / task
    tables = sorted(path.name for path in unpacked.iterdir() if path.is_file())
    with tarfile.open(archive, "w:gz") as tar:
        for part in (str(clips.SOURCE), *tables):
            tar.add(unpacked / part, f"{prefix}/{task}/{part}")
    return archive


def run(folder: Path, *rates: int) -> list[str]:
    return prepare.prepare(folder / "archives", folder / "tasks", rates or (16000,))


def wav(folder: Path, task: str = FIXED, rate: int = clips.SOURCE, split: str = "train", number: int = 0) -> Path:
    return (
        folder / ("unpacked" if rate == clips.SOURCE else "tasks") / task / str(rate) / split / f"{split}{number}.wav"
    )


@pytest.mark.parametrize("prefix", ["tasks", "hear-2021.0.6/tasks"])
def test_whole_archives(folder: Path, prefix: str) -> None:
    """Every clip at every rate, with the same tone in it; the tables as they were; nothing else among the tasks."""
    for task in SECONDS:
        pack(folder, task, prefix)
    rates = (16000, 22050, 32000, 44100, 48000)
    assert run(folder, *rates) == []
    assert {path.name for path in (folder / "tasks").iterdir()} == set(SECONDS)
    for task, seconds in SECONDS.items():
        for table in ("task_metadata.json", "labelvocabulary.csv", "train.json"):
            assert (folder / "tasks" / task / table).read_bytes() == (folder / "unpacked" / task / table).read_bytes()
        for rate in rates:
            files = sorted((folder / "tasks" / task / str(rate)).rglob("*.wav"))
            assert len(files) == len(SPLITS) * CLIPS
            for file in files:
                check_clip(file, rate, seconds or 0.3 + 0.1 * int(file.stem[-1]))


def check_clip(file: Path, rate: int, seconds: float) -> None:
    samples, found = soundfile.read(file)
    assert (found, soundfile.info(file).subtype) == (rate, "PCM_16")
    assert len(samples) == int(np.ceil(round(seconds * clips.SOURCE) * rate / clips.SOURCE))
    middle = slice(rate // 20, -rate // 20)
    expected = 0.25 * np.sin(2 * np.pi * TONE / rate * np.arange(len(samples)))
    np.testing.assert_allclose(samples[middle], expected[middle], atol=2e-3)


def test_done_is_kept_and_a_rate_is_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(folder, FIXED)
    run(folder)
    before = wav(folder, rate=16000).stat().st_mtime_ns
    assert run(folder) == []
    assert "kept" in capsys.readouterr().out
    assert run(folder, 16000, 32000) == []
    assert wav(folder, rate=16000).stat().st_mtime_ns == before
    assert wav(folder, rate=32000).is_file()
    assert not list(folder.glob(".tasks-*"))


def test_interrupted_task_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing appears before it is whole, nothing is converted twice, and a rate that was given up stays out."""
    pack(folder, FIXED)
    read, made = audio.read, []

    def interrupted(path: Path, rate: int) -> object:
        if len(made) >= 4:
            raise OSError("no space left")
        made.append(path)
        return read(path, rate)

    monkeypatch.setattr(audio, "read", interrupted)
    with pytest.raises(OSError, match="no space left"):
        run(folder, 16000, 32000)
    assert not list((folder / "tasks").iterdir())
    made.clear()
    monkeypatch.setattr(audio, "read", lambda path, rate: made.append(path) or read(path, rate))
    assert run(folder, 16000) == []
    assert 0 < len(made) < len(SPLITS) * CLIPS
    assert {path.name for path in (folder / "tasks" / FIXED).iterdir() if path.is_dir()} == {"16000"}
    assert len(list((folder / "tasks" / FIXED / "16000").rglob("*.wav"))) == len(SPLITS) * CLIPS


def cut(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])


def flip_sum(archive: Path) -> None:
    """The last bytes of a gzip file are a sum of its content and a length."""
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip_sum])
def test_damaged_archive(folder: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, the other archive is not held up, and a sound copy sets it right."""
    damage(pack(folder, FIXED))
    pack(folder, FREE)
    assert run(folder) == [FIXED]
    assert "is damaged or incomplete" in capsys.readouterr().out
    assert {path.name for path in (folder / "tasks").iterdir()} == {FREE}
    pack(folder, FIXED)
    assert run(folder) == []


def at_another_rate(file: Path) -> None:
    samples, _ = soundfile.read(file)
    soundfile.write(file, samples, 44100)


def cut_wav(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def shorten(file: Path) -> None:
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[:-1000], rate)


def empty(file: Path) -> None:
    soundfile.write(file, np.zeros(0), clips.SOURCE)


def garbage(file: Path) -> None:
    file.write_bytes(b"not audio at all")


@pytest.mark.parametrize(
    ("damage", "task", "message"),
    [
        (at_another_rate, FIXED, "train/train0.wav is at 44100 Hz, not 48000"),
        (cut_wav, FREE, "train/train0.wav is cut short by 1000 bytes"),
        (shorten, FIXED, "train/train0.wav at 16000 Hz lasts 0.789 s, not 0.81 s"),
        (empty, FREE, "train/train0.wav cannot be read: "),
        (garbage, FREE, "train/train0.wav cannot be read: "),
        (Path.unlink, FREE, "train/train0.wav at 16000 Hz is missing"),
    ],
)
def test_faulty_clip(
    folder: Path, damage: Callable[[Path], None], task: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(wav(folder, task))
    pack(folder, task)
    assert run(folder) == [task]
    assert message in capsys.readouterr().out
    assert not list((folder / "tasks").iterdir())


def test_a_few_samples_are_set_right(folder: Path) -> None:
    """The kit stacks clips: all of a task must be equally long, to the sample."""
    samples, rate = soundfile.read(wav(folder), dtype="int16")
    soundfile.write(wav(folder), samples[:-7], rate)
    soundfile.write(wav(folder, number=1), np.append(samples, samples[:7]), rate)
    pack(folder, FIXED)
    assert run(folder) == []
    lengths = {soundfile.info(file).frames for file in (folder / "tasks" / FIXED / "16000").rglob("*.wav")}
    assert lengths == {12960}


def test_missing_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "unpacked" / FIXED / "valid.json").unlink()
    pack(folder, FIXED)
    assert run(folder) == [FIXED]
    assert "its tables are missing or damaged" in capsys.readouterr().out


def test_counts_are_compared_with_hears(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "PUBLISHED", tmp_path / "published.json")
    prepare.PUBLISHED.write_text(json.dumps({"tasks": {FIXED: {"clips": 7}}}))
    pack(folder, FIXED)
    run(folder)
    assert "6 clips (HEAR's page says 7) at 16000 Hz" in capsys.readouterr().out


def test_nothing_to_prepare(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="holds no hear2021-"):
        prepare.prepare(tmp_path, tmp_path / "tasks", (16000,))


def test_rates() -> None:
    assert prepare.parse_rates("16000, 44100") == (16000, 44100)
    for wrong in ("", "8000", "16k", "16000,,"):
        with pytest.raises(KitError, match="--rates takes some of 16000"):
            prepare.parse_rates(wrong)
