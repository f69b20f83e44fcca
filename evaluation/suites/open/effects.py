"""Task 7: the kind of a sound effect. Each half of the packages is once for training and once for test.

Task 8 uses the labelled effects too.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...tasks.write import Clip
from .plan import Plan, scene
from .recordings import Library, Recording
from .signals import normalised, tenth

HALVES = {
    "a": ("qabcs-data", "scratch", "minetest-data", "oxygen-sounds", "openarena-data"),
    "b": ("tuxpaint-stamps-default", "ufoai-sound", "wesnoth-1.16-data", "sound-theme-freedesktop"),
}
PACKAGES = tuple(package for half in HALVES.values() for package in half)
CLASSES = ("animal", "door", "footstep", "instrument", "interface", "vocal", "weapon")
LONGEST = 20.0  # seconds

_ANIMALS = """
    albatross badger bear beaver bee bird bison blackbird blister_beetle booby buffalo bull calf camel cat chimp
    chimpanzee chinchilla cow cow_white crane cricket crickets crow cuckoo deer dog dolphin donkey drake duck eagle-owl
    elephant emu ferret flamingo foal fox frog gander giraffe goat goose gorilla grasshopper guinea_fowl hamster
    hedgehog hen heron hornet horse hyena iguana iora jaguar jerboa kitten koala lark lion little_monkey lynx meow moose
    mosquito moth mountaingoat mouse nandou orca otter owl pelican penguin pheasant pig porcupine python quail quetzal
    raccoon ram rhinoceros rooster sea_lion seagull sealion sheep sparrow squirrel stork tiger tucan turkey vulture
    wallaby weevil whale wolf wolfhowl wood_grouse yak zebra"""
_INSTRUMENTS = """
    accordion afrostring bagpipes bass_drum bassoon cello changu clarinet cuica cymbal_crash cymbals dijjeridoo
    drum_tomtom_floor drumkit drums dulzaina electric_guitar erhu flute gamba gong grand_piano guitar guitarstrum
    hand_organ hang harmonica harp horn ipu kazoo lute maracas natural_horn ney oboe ode organ piano pipe quena rabel
    recorder rozhok saxophone slit_drum spoons squeezebox stringaccent stringpluck tambura timpani topshuur trumpet
    ukulele violin washint western_concert_flute whistle xun xylophone yangqin yueqin zhaleyka zither zurna"""
ANIMALS, INSTRUMENTS = set(_ANIMALS.split()), set(_INSTRUMENTS.split())

# (class, pattern): the first match in the lower-case path counts.
RULES = (
    ("footstep", "foot_?step|singlestep"),
    ("door", "door|fencegate|chest_(open|close)"),
    (
        "vocal",
        r"(^|[-_/])(pain|death|die|hurt|scream|cough|sneeze|laugh|falling|gasp|moan|baby|groan)"
        r"|(male|man|human|female).{0,3}(hurt|die|death|hit)|/soldiers/|/civilians/|-(die|hurt|hit)[-.\d]",
    ),
    ("weapon", r"/weapons?/|explo|tnt_|gun|shoot|bullet|rocket|laser|cannon|thunderstick|grenade|/impact/"),
    (
        "interface",
        "/ui/|beep|button|menu|dialog-|message|bell|complete|/oxygen|camera-shutter|device-|window-|power-|service-"
        "|network-|phone-|screen-|trash|audio-|suspend|alarm",
    ),
)


class Effect(NamedTuple):
    """A labelled effect. Its variants share the ``unit``: package, and name without number."""

    recording: Recording
    half: str
    kind: str
    unit: str


def kind(recording: Recording) -> str:
    """The class of a recording by its path; empty without one."""
    path, name = recording.path.lower(), _name(recording)
    if _is_word(recording) or recording.seconds > LONGEST:
        return ""
    if name in INSTRUMENTS or "/hobbies/music/" in path:
        return "instrument"
    if name in ANIMALS or "/stamps/animals/" in path or "/animal/" in path:
        return "animal"
    if recording.package in ("qabcs-data", "tuxpaint-stamps-default"):
        return ""
    if recording.package == "scratch" and "/human/" in path and not name.startswith(("foot", "finger")):
        return "vocal"
    if recording.package in ("sound-theme-freedesktop", "oxygen-sounds"):
        return "interface"
    return next((label for label, rule in RULES if re.search(rule, path)), "")


def effects(library: Library) -> Iterator[Effect]:
    """All effects of the seven classes. A recording in both halves counts for the first."""
    for recording in library.of(*PACKAGES):
        if label := kind(recording):
            half = next(half for half, packages in HALVES.items() if recording.package in packages)
            yield Effect(recording, half, label, f"{recording.package}/{_name(recording)}")


def _name(recording: Recording) -> str:
    return re.sub(r"[-_.]*\d*$", "", recording.stem.lower())


def _is_word(recording: Recording) -> bool:
    """Whether the recording is a spoken description."""
    if recording.package == "qabcs-data":
        folders = recording.folders
        return "abcs" in folders[:-1] and folders[folders.index("abcs") + 1] != "all"
    return recording.package == "tuxpaint-stamps-default" and "_desc" in recording.stem


def _clips(other: str) -> Callable[[Library], Iterator[Clip]]:
    def clips(library: Library) -> Iterator[Clip]:
        for recording, origin, label, unit in effects(library):
            split = "test" if origin == other else "valid" if tenth(unit) else "train"
            yield Clip(split, recording.name, normalised(recording.samples()), [label], unit)

    return clips


COUNTS = {"a": (84, 16, 59, 64, 57, 30, 55), "b": (61, 8, 50, 14, 38, 202, 101)}  # in the order of CLASSES


def _plan(half: str, other: str) -> Plan:
    expected = {
        (side, label): count
        for side, packages in (("train", half), ("test", other))
        for label, count in zip(CLASSES, COUNTS[packages], strict=True)
    }
    task = scene(f"sfx_{half}{other}", "mean_recall", 1 / len(CLASSES), seconds=None)
    return Plan(task, PACKAGES, _clips(other), expected)


PLANS = (_plan("a", "b"), _plan("b", "a"))
