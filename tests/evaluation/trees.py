"""Packages of the open suite in miniature: the paths are as in the real ones, every recording is seeded noise."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from corpora import steps
from corpora.sources import Provenance, SourceRecording
from evaluation.suites.open.notes import BANKS, FAMILIES
from evaluation.suites.open.recordings import NOTES, Library, Recording
from tests.corpora.archive import sound

CODES = ("be", "ca", "da", "de", "el", "en", "es", "fr", "it", "lt", "ru", "uk")
LETTERS = "abcdefgh"
EFFECTS = {  # a folder for every class of effects
    "animal": "animal/{}",
    "door": "doors/{}",
    "footstep": "footsteps/{}_footstep",
    "instrument": "hobbies/music/{}",
    "interface": "ui/{}",
    "vocal": "soldiers/{}",
    "weapon": "weapons/{}",
}
DRUMS = ("Clap", "Crash", "Conga", "HatClosed", "HatOpen", "Kick", "Ride", "SideStick", "Snare", "Tom1")
ASTERISK = {
    "asterisk-core-sounds-en-wav": "en_US_f_Allison",
    "asterisk-core-sounds-es-wav": "es_MX_f_Allison",
    "asterisk-core-sounds-fr-wav": "fr_CA_f_June",
    "asterisk-core-sounds-it-wav": "it_IT_m_Carlo",
    "asterisk-core-sounds-ru-wav": "ru_RU_f_IvrvoiceRU",
    "asterisk-prompt-it-menardi-wav": "it_IT_f_Menardi",
    "asterisk-prompt-es-co": "es",
    "asterisk-prompt-fr-armelle": "fr",
}


@dataclass
class Tree:
    """A package of recordings: paths, lengths and labels."""

    step: str
    entries: list[tuple[str, float, dict[str, str]]]

    def __post_init__(self) -> None:
        licences = {"copyright": "License: CC0-1.0\n"}
        self.provenance = Provenance(self.step.removesuffix(NOTES), "1", licences=licences)

    def recordings(self, work: Path) -> Iterator[SourceRecording]:
        for path, seconds, labels in self.entries:
            file = work / "sound.wav"
            soundfile.write(file, sound(hash_of(self.step + path), seconds), 16000)
            yield SourceRecording(path, file, "", labels)


def hash_of(text: str) -> int:
    """A seed for a path."""
    return int.from_bytes(text.encode(), "big") % (2**31 - 1)


def recording(package: str, path: str, seconds: float = 1.0) -> Recording:
    """A recording of which only the path is real."""
    return Recording(package, path, "0" * 64, seconds, {}, Path("nowhere"), 0, 0)


def library(folder: Path) -> Library:
    """All packages of the suite."""
    folder.mkdir()
    for tree in trees():
        steps.make(tree, folder, "flac")
    return Library(folder)


def trees() -> list[Tree]:
    return [*_speech(), *_effects(), *_drums(), *_music(), *(_bank(name, place) for place, name in enumerate(BANKS))]


def _tree(name: str, root: str, names: list[str], seconds: float = 0.3) -> Tree:
    return Tree(name, [(f"usr/share/{root}/{path}", seconds, {}) for path in names])


def _speech() -> Iterator[Tree]:
    voices = [f"{set_}{who}{number}" for set_ in ("de/", "") for who in ("female", "male") for number in (1, 2)]
    yield _tree(
        "kajongg", "kajongg/voices", [f"{voice}/{word}.ogg" for voice in voices for word in ("b1", "c2", "pong")]
    )
    packs = [
        f"Sounds/voices/{pack}/{word}{take}.ogg" for pack in ("Robot", "Pirate") for word in WORDS for take in "12"
    ]
    hedgewars = _tree("hedgewars-data", "games/hedgewars/Data", packs)
    hedgewars.entries.append(("usr/share/games/hedgewars/Data/Music/Art.ogg", 26.0, {}))
    yield hedgewars
    for name, voice in ASTERISK.items():
        prompts = [f"{voice}/{word}-{number}.wav" for word in ("vm", "digits/h") for number in range(20)]
        yield _tree(name, "asterisk/sounds", prompts, 1.1)
    stamps = [f"animals/cat-{n}_desc_{code}.ogg" for code in CODES if code != "en" for n in LETTERS[:4]]
    stamps += ["animals/cat-x_desc.ogg", "animals/cat-y_desc.ogg", "animals/cat.ogg", "hobbies/music/drum.ogg"]
    yield _tree("tuxpaint-stamps-default", "tuxpaint/stamps", stamps)
    yield _tree("klettres-data", "klettres", [f"{code}/alpha/{n}.ogg" for code in CODES for n in LETTERS[:4]])
    yield _tree("ktuberling-data", "ktuberling/sounds", [f"{code}/{n}.ogg" for code in CODES for n in LETTERS[:2]])
    names = [f"{code}/sounds/words/{n}.ogg" for code in ("de", "en", "ru") for n in LETTERS[:2]]
    yield _tree("qabcs-data", "qabcs/abcs", [*names, "all/noises/accordion.ogg", "all/noises/cow.ogg"])


WORDS = (
    "ouch",
    "hello",
    "byebye",
    "coward",
    "melon",
    "jump",
    "laugh",
    "victory",
    "revenge",
    "stupid",
    "enemydown",
    "yes",
)


def _effects() -> Iterator[Tree]:
    names = [f"{folder.format(letter)}.ogg" for folder in EFFECTS.values() for letter in LETTERS]
    yield _tree("openarena-data", "games/openarena", names)
    yield _tree(
        "ufoai-sound", "ufoai", [f"{folder.format(f'b{n}x')}.ogg" for folder in EFFECTS.values() for n in LETTERS]
    )
    yield _tree("scratch", "scratch/Media/Sounds", ["Human/Laugh-male1.mp3", "Animal/Cat.mp3"])
    yield _tree("minetest-data", "games/minetest/sounds", ["default_grass_footstep.1.ogg"])
    yield _tree("oxygen-sounds", "sounds", ["Oxygen-Im-Sms.ogg"])
    yield _tree("wesnoth-1.16-data", "games/wesnoth/1.16/data/core/sounds", ["orc-die-1.ogg"])
    yield _tree("sound-theme-freedesktop", "sounds/freedesktop/stereo", ["power-plug.oga"])


def _drums() -> Iterator[Tree]:
    def kit(name: str) -> list[str]:
        return [f"{name}/{drum}-{level}.wav" for drum in DRUMS for level in ("Hard", "Soft")]

    kits = ("Millo_MultiLayered2", "ColomboAcousticDrumkit", "ForzeeStereo")
    names = list(itertools.chain.from_iterable(map(kit, kits)))
    yield _tree("hydrogen-drumkits", "hydrogen/data/drumkits", names)
    yield _tree("hydrogen-data", "hydrogen/data", ["click.wav", *kit("drumkits/GMRockKit")])
    yield _tree("exadrums", "exadrums", [f"{drum}.wav" for drum in DRUMS])
    yield _tree("lmms-common", "lmms/samples", ["drums/snare04.ogg", "basses/bass_kick.ogg"])
    yield _tree("sonic-pi-samples", "sonic-pi/samples", ["bd_zome.flac", "loop_snare.flac"])
    yield _tree("chuck-data", "doc/chuck-data/examples", ["clap_01.wav"])


def _music() -> Iterator[Tree]:
    mars = [f"music/{n}.ogg" for n in LETTERS[:3]]
    yield _tree("marsshooter-data", "games/marsshooter/audio", mars, 26.0)
    yield _tree("hyperrogue-music", "hyperrogue/music", ["hr.ogg"], 26.0)
    yield _tree("drascula-music", "scummvm/drascula/audio", ["track1.ogg"], 26.0)
    yield _tree("asterisk-moh-opsound-wav", "asterisk/moh", ["reno.wav"], 26.0)


def _bank(name: str, place: int) -> Tree:
    notes = [
        (f"bank!{index:04}.wav", 0.3, {"family": family, "preset": str(index), "pitch": str(60 + index)})
        for index, family in enumerate(FAMILIES)
    ]
    below = (f"bank!{place}.wav", 0.3, {"family": "bass", "preset": "0", "pitch": "24"})
    drum = ("bank!drum.wav", 0.3, {})
    return Tree(name + NOTES, [*notes, below, drum])
