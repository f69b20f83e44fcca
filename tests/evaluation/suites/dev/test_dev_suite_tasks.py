"""The development tasks one by one: nothing of a test was trained on, and labels are what they say."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from evaluation.suites.dev import count, drum, drum_synthesis, lang, notes, sfx, speaker, style, tones, voices, word
from evaluation.suites.dev.library import Library
from evaluation.suites.dev.material import Material
from evaluation.suites.dev.suite import SUITE
from evaluation.tasks.write import RATE
from tests.evaluation import corpus_of_noise
from tests.evaluation.corpus_of_noise import by_split, groups, recording

Said = list[tuple[voices.Voice, str]]


@pytest.fixture
def material(noise: Path, tmp_path: Path) -> Material:
    return corpus_of_noise.material(noise, tmp_path)


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """All that is synthesised sounds the same, at once; who said what is kept. Mixtures by the dozen."""
    sound, spoken = np.ones(100, np.float32), []

    def say(voice: voices.Voice, language: str, words: str, work: Path) -> np.ndarray:
        spoken.append((voice, words))
        return sound

    def play(chosen: Iterable[notes.NoteKey], *_: object) -> dict[notes.NoteKey, np.ndarray]:
        return dict.fromkeys(chosen, sound)

    monkeypatch.setattr(voices.Voice, "say", say)
    monkeypatch.setattr(tones, "play", play)
    monkeypatch.setattr(drum, "play", play)
    monkeypatch.setattr(drum_synthesis, "stroke", lambda *_: sound)
    monkeypatch.setattr(count, "MIXTURES", {"train": 8, "valid": 4, "test": 8})
    return spoken


@pytest.mark.parametrize("name", SUITE)
def test_no_group_is_on_both_sides_and_no_class_on_one(name: str, material: Material) -> None:
    splits = by_split(SUITE[name].clips(material))
    if "test" in splits:
        sides = [[*splits["train"], *splits.get("valid", [])], splits["test"]]
    else:
        sides = list(splits.values())
        assert len(sides) >= 3
    for one, other in combinations(sides, 2):
        assert not groups(one) & groups(other)
        assert {clip.labels[0] for clip in one} == {clip.labels[0] for clip in other}
    clips = [clip for side in sides for clip in side]
    assert len({clip.name for clip in clips}) == len(clips)
    assert all(len(clip.labels) == 1 for clip in clips)


@pytest.mark.parametrize("name", SUITE)
def test_clips_are_the_same_each_time(name: str, material: Material) -> None:
    first, second = (
        [(clip.split, clip.name, clip.labels, clip.group, clip.pcm.tobytes()) for clip in SUITE[name].clips(material)]
        for _ in range(2)
    )
    assert first == second


def test_voices_of_a_word_task_are_one_to_a_fold(material: Material) -> None:
    heard = []
    for first in (0, 4):
        folds = by_split(word.clips(first)(material))
        assert sorted(folds) == list(word.FOLDS)
        for clips in folds.values():
            assert len(groups(clips)) == 1
            assert sorted(clip.labels[0] for clip in clips) == sorted(word.WORDS.split())
            heard += groups(clips)
    assert len(set(heard)) == 8


def test_language_by_new_voices_and_new_words(material: Material, said: Said) -> None:
    clips = list(lang.clips(material))
    speakers, phrases = ({"train": set(), "valid": set(), "test": set()} for _ in range(2))
    for clip, (voice, words) in zip(clips, said, strict=True):
        speakers[clip.split].add(voice.label)
        phrases[clip.split].add((clip.labels[0], words))
    assert not speakers["test"] & (speakers["train"] | speakers["valid"])
    assert not phrases["test"] & (phrases["train"] | phrases["valid"])
    assert not phrases["valid"] & phrases["train"]
    assert {clip.labels[0] for clip in clips if clip.split == "test"} == set(lang.LANGUAGES)
    assert len(groups(clips)) == len(set().union(*phrases.values()))


@pytest.mark.parametrize(
    ("package", "path", "expected"),
    [
        ("fillets-ng-data-cs", "sound/elk/cs/deu-m-zvlastni.ogg", ("fillets-ng-data-cs-m", "zvlastni")),
        ("fillets-ng-data-cs", "sound/gods/cs/b1-spletl.ogg", None),
        ("flight-of-the-amazon-queen", "queen.1c!JOE01051.SB", ("flight-of-the-amazon-queen-JOE", "01051")),
        ("flight-of-the-amazon-queen", "queen.1c!120006P2.SB", ("flight-of-the-amazon-queen-12", "0006P2")),
        ("flight-of-the-amazon-queen", "queen.1c!120006J1.SB", None),  # the hero's answer
        ("0ad-data", "p.zip!audio/voice/greek/civ/civ_female_repair_1.ogg", ("0ad-greek-female", "repair")),
        ("nexuiz-data", "data.pk3!sound/player/fricka/coms/taunt1.ogg", ("nexuiz-fricka", "taunt1")),
        ("megaglest-data", "magic/units/archmage/sounds/archmage_select2.wav", ("megaglest-archmage", "select2")),
        ("megaglest-data", "magic/units/archmage/sounds/archmage_attack2.wav", None),
    ],
)
def test_what_a_path_says_of_its_speaker(package: str, path: str, expected: tuple[str, str] | None) -> None:
    assert speaker.who_says_what(recording(package, path)) == expected


def test_no_words_of_a_speaker_are_in_two_splits(material: Material) -> None:
    splits = by_split(speaker.clips(material))
    for one, other in combinations(("train", "valid", "test"), 2):
        assert splits[one]
        assert not groups(splits[one]) & groups(splits[other])
    assert len({clip.labels[0] for clip in splits["test"]}) == 6
    assert all(len(clip.pcm) <= speaker.SECONDS * RATE for clips in splits.values() for clip in clips)


def test_every_note_and_every_family_is_as_frequent_as_the_others(material: Material) -> None:
    for made, classes in ((tones.pitch, 61), (tones.family, 9)):
        folds = by_split(made(material))
        assert sorted(folds) == list(tones.FOLDS)
        for clips in folds.values():
            counts = np.unique([clip.labels[0] for clip in clips], return_counts=True)[1]
            assert len(counts) == classes
            assert len(set(counts)) == 1


def test_programs_off_their_key_have_no_labels_of_pitch(material: Material) -> None:
    off = {f"{bank}-{program:03d}" for bank, programs in tones.OFF.items() for program in programs}
    assert not off & groups(tones.pitch(material))
    assert off & groups(tones.family(material))


def test_kits_that_share_samples_are_in_one_fold(material: Material) -> None:
    folds = by_split(drum.clips(material))
    banks = [
        {group if group.startswith("computed") else group.split("-")[0] for group in groups(clips)}
        for clips in folds.values()
    ]
    assert len(set().union(*banks)) == sum(map(len, banks)) == 8
    for clips in folds.values():
        counts = np.unique([clip.labels[0] for clip in clips], return_counts=True)
        assert set(counts[0]) == set(drum.KEYS)
        assert set(counts[1]) == {drum.STROKES}


def test_no_package_is_on_both_sides_of_the_effects() -> None:
    sides = [{package for packages in side.values() for package in packages} for side in (sfx.A, sfx.B)]
    assert not sides[0] & sides[1]
    assert list(sfx.A) == list(sfx.B)


def test_effects_are_trained_on_one_side_and_tested_on_the_other(material: Material) -> None:
    for name, tested in (("dev_sfx_ab", {"flare-game", "scorched3d-data"}), ("dev_sfx_ba", {"0ad-data"})):
        splits = by_split(SUITE[name].clips(material))
        packages = {split: {clip.group.split("/")[0] for clip in clips} for split, clips in splits.items()}
        assert packages["test"] == tested
        assert not packages["test"] & (packages["train"] | packages.get("valid", set()))
        assert not groups(splits["train"]) & groups(splits.get("valid", []))
        assert {clip.labels[0] for clip in splits["test"]} == {"animal", "footstep"}


def test_paths_of_two_kinds_have_none(tmp_path: Path) -> None:
    stray = "sounds/npc/cow_step_metal1.ogg"
    paths = [("flare-game", "step_metal1.ogg", "sfx", 0.1), ("flare-game", "female_die_step_1.ogg", "sfx", 0.1)]
    library = Library(corpus_of_noise.write(tmp_path, [*paths, ("flare-game", stray, "music", 0.1)]))
    by_class = {
        label: list(sfx.of_class(Material(library, {}, tmp_path), sfx.B, label)) for label in ("footstep", "vocal")
    }
    assert [expected.path for expected in by_class["footstep"]] == ["step_metal1.ogg"]
    assert not by_class["vocal"]


def test_no_track_is_in_two_splits(material: Material) -> None:
    splits = by_split(style.clips(material))
    assert {clip.labels[0] for clips in splits.values() for clip in clips} == {"naev-data", "wizznic-data"}
    tracks = [groups(splits[split]) for split in ("train", "valid", "test")]
    assert [len(expected) for expected in tracks] == [6, 2, 8]
    assert len(set().union(*tracks)) == 16
    assert {len(clip.pcm) for clips in splits.values() for clip in clips} == {4 * RATE}
    assert len({clip.pcm.tobytes() for clips in splits.values() for clip in clips}) == 16 * style.CROPS


def test_as_many_speak_as_the_label_says_and_others_in_the_test(material: Material) -> None:
    splits = by_split(count.clips(material))
    names = {split: set() for split in splits}
    for split, clips in splits.items():
        for clip in clips:
            speakers = [] if clip.group.startswith("nobody") else clip.group.split("+")
            assert len(set(speakers)) == len(speakers) == int(clip.labels[0])
            names[split].update(speakers)
    assert not names["test"] & (names["train"] | names["valid"])


def test_lines_of_validation_are_not_trained_on(material: Material) -> None:
    train, valid = (
        {line.key for lines in count.lines_of(material, split).values() for line in lines}
        for split in ("train", "valid")
    )
    assert train
    assert valid
    assert not train & valid


def test_each_voice_of_a_mixture_is_as_loud_as_the_others() -> None:
    speech = np.sin(np.arange(16000) / 5)
    for loudness in (0.01, 30.0):
        padded = np.concatenate([np.zeros(20000), loudness * speech, np.zeros(5000)])
        assert np.sqrt(np.mean(count.level(padded) ** 2)) == pytest.approx(1.0, abs=1e-3)
