"""Labels of open recordings by package and path: words, splits, and that nothing of the evaluation is among them."""

import pytest

from corpora import catalogue
from corpora.synthesis.solos import LANGUAGES, STROKES
from corpora.tags import EFFECTS, HELD_OUT, STYLES, group_of, split_of, tags_of, words_of
from training.data.plain import PLAIN

MEGAGLEST = "usr/share/games/megaglest/techs/megapack/factions/norsemen/units/{}.ogg"


def test_words_are_of_the_file_and_its_folder() -> None:
    assert words_of("usr/share/games/x/Metal/swordHit_2.ogg") == {"metal", "sword", "hit"}
    assert words_of("data.pk3!sound/weapons/rocket-fire.wav") == {"weapons", "rocket", "fire"}


@pytest.mark.parametrize(
    ("package", "path", "kind", "tags"),
    [
        ("0ad-data", "audio/actor/fauna/horse_gallop_water.ogg", "sfx", ("horse", "water")),
        ("megaglest-data", MEGAGLEST.format("cow/sounds/cow_die1"), "sfx", ("cattle", "cry")),
        ("openttd-opensfx", "opensfx.cat!0050552d.wav", "sfx", ()),
        ("emacspeak", "sounds/3d/button.wav", "speech", ()),
        ("lugaru-data", "sounds/unheard-of.ogg", "sfx", ()),
        ("warmux-data", "sounds/jokes.ogg", "speech", ()),
        ("singularity-music", "music/Chimes They Fade.ogg", "music", ("music", "music of singularity-music")),
        ("lordsawar-data", "music/bell.ogg", "music", ("music",)),
    ],
)
def test_what_a_path_says(package: str, path: str, kind: str, tags: tuple[str, ...]) -> None:
    assert tags_of(package, path, kind, 60.0, {}) == tags


def test_languages_and_the_users_own_labels() -> None:
    labels = catalogue.labels_of("fillets-ng-data-cs", "sound/cave/cs/jes-v-ven.ogg")
    assert tags_of("fillets-ng-data-cs", "x", "speech", 2.0, labels) == ("czech", "speech")
    random = catalogue.labels_of("fillets-ng-data-cs", "sound/cave/cs/rand-4.ogg")
    assert tags_of("fillets-ng-data-cs", "x", "speech", 2.0, random) == ()  # either fish, held out or not
    assert tags_of("mine", "x.wav", "other", 2.0, {"label": "rain; dog ;"}) == ("dog", "rain")
    assert tags_of("berusky2-data", "short.ogg", "music", 5.0, {}) == ("music",)  # no track


def test_what_is_held_out_shares_nothing_with_the_rest() -> None:
    """Effects by package, speech by speaker, styles by track, one's own recordings by folder."""
    effect = ("explosion",)
    assert split_of("triplea", "a.ogg", effect, "0", {}) == "valid"
    assert split_of("naev-data", "a.ogg", effect, "0", {}) == "train"
    small, big = ({"language": "cs", "speaker": f"fillets-ng-data-cs-{fish}"} for fish in "mv")
    assert split_of("fillets-ng-data-cs", "a", ("czech",), "0", small) == "train"
    assert split_of("fillets-ng-data-cs", "a", ("czech",), "0", big) == "valid"
    assert group_of("fillets-ng-data-cs", "a", small) != group_of("fillets-ng-data-cs", "a", big)
    style = ("music", "music of naev-data")
    splits = [split_of("naev-data", "a", style, f"{key:x}", {}) for key in range(20)]
    assert splits.count("valid") == 4
    label = {"label": "speech"}
    assert split_of("manifest", "valid/voice/f2/en-1.flac", ("speech",), "0", label) == "valid"
    assert split_of("manifest", "train/voice/f1/en-1.flac", ("speech",), "0", label) == "train"
    assert group_of("manifest", "train/voice/f1/en-1.flac", label) == "train/voice/f1"


def test_only_pretraining_packages_are_named() -> None:
    """Misspelt names would hold nothing out; the evaluation's would be learnt from."""
    assert {*HELD_OUT, *STYLES} <= set(catalogue.SETS["open"])
    assert not [name for name in (*HELD_OUT, *STYLES) if catalogue.is_eval(name)]


def test_there_are_sixty_classes_and_more() -> None:
    synthetic = {tag for plain in PLAIN.values() for tag in plain.tags}
    assert len({*EFFECTS, *LANGUAGES.values(), *STROKES, *synthetic}) > 60
    assert all(word == word.lower() for words in EFFECTS.values() for word in words.split())
