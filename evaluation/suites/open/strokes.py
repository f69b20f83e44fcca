"""Task 6: the class of a drum stroke. Test and training have different kits. Task 9 uses the strokes too."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ...tasks.write import Clip
from .plan import Plan, scene
from .recordings import Library, Recording
from .signals import normalised

PACKAGES = ("chuck-data", "exadrums", "hydrogen-data", "hydrogen-drumkits", "lmms-common", "sonic-pi-samples")
CLASSES = ("clap", "crash", "hand-drum", "hihat-closed", "hihat-open", "kick", "ride", "rim", "snare", "tom")
LONGEST = 6.0  # seconds: longer cymbals are left out
OTHERS = "cowbell|shaker|maraca|cabasa|tambour"  # of no class; matched before hand-drum

# (class, pattern): the first match in a file's name, lower-case and without spaces, counts.
RULES = (
    ("hihat-open", r"(hat|hh|hihat).{0,12}(open|semi)|open.{0,3}(hat|hh)"),
    (
        "hihat-closed",
        r"(hat|hh|hihat).{0,12}(clos|pedal|tight|choke)|clos.{0,4}(hat|hh)|hihat_foot|cymbal_(closed|pedal)",
    ),
    ("ride", "ride|paistebell"),
    ("crash", "crash|splash|china"),
    ("rim", "rim|stick"),
    ("clap", "clap"),
    ("kick", r"kick|bass.?drum|(^|[_\W])bd([_\W\d]|$)|bd_"),
    ("snare", r"snare|snr|(^|[_\W])sn\d?[_\W]|(^|_)sd"),
    ("tom", "(^|[^s])tom"),
    ("", OTHERS),
    ("hand-drum", "conga|bongo|djembe|tabla|sangban|kenkeni"),
)
# File names of this kit begin with two letters for the class.
PACIFIC = {"BD": "kick", "SN": "snare", "RD": "ride", "TM": "tom", "CR": "crash"}

# Kits that share recordings or a maker are in one fold (the three Millo kits; GMRockKit and two more). The others are
# distributed so that every fold has strokes of every class.
FOLDS = (
    ("ElectricEmpireKit", "Millo-Drums_v.1", "Millo_MultiLayered2", "Millo_MultiLayered3"),
    ("chuck-data", "ColomboAcousticDrumkit", "HardElectro1", "sonic-pi-samples"),
    ("exadrums", "VariBreaks", "circAfrique v4", "lmms-common"),
    ("TR808EmulationKit", "Audiophob", "BJA_Pacific", "ForzeeStereo"),
    ("GMRockKit", "The Black Pearl 1.0", "Gimme A Hand 1.0"),
)
FOLD_OF = {kit: fold for fold, kits in enumerate(FOLDS) for kit in kits}


class Stroke(NamedTuple):
    """A recording of one stroke."""

    recording: Recording
    kit: str
    drum: str


def drum(kit: str, stem: str) -> str:
    """The class of a stroke by its file name; empty without one."""
    if kit == "BJA_Pacific":
        letters = re.match("[A-Za-z]+", stem)
        return PACIFIC.get(letters[0].upper(), "") if letters else ""
    text = stem.lower().replace(" ", "")
    return next((name for name, rule in RULES if re.search(rule, text)), "")


def strokes(library: Library) -> Iterator[Stroke]:
    """All strokes of the ten classes."""
    for recording in library.of(*PACKAGES):
        kit = kit_of(recording)
        name = drum(kit, recording.stem) if kit else ""
        if name in CLASSES and recording.seconds < LONGEST:
            yield Stroke(recording, kit, name)


def kit_of(recording: Recording) -> str:
    """The kit of a recording: a folder or a whole package; empty without one."""
    folders, package = recording.folders, recording.package
    if package.startswith("hydrogen"):
        return folders[folders.index("drumkits") + 1] if "drumkits" in folders[:-1] else ""
    if package == "lmms-common":
        return package if folders[-1] == "drums" else ""
    return "" if recording.stem.startswith(("loop", "ambi")) else package


def _clips(library: Library) -> Iterator[Clip]:
    for recording, kit, name in strokes(library):
        if kit not in FOLD_OF:
            raise ValueError(f"drum: the kit {kit} is in no fold")
        yield Clip(f"fold{FOLD_OF[kit]:02}", recording.name, normalised(recording.samples()), [name], kit)


COUNTS = (21, 34, 60, 41, 30, 85, 37, 42, 104, 87)  # in the order of CLASSES
EXPECTED = {("", name): count for name, count in zip(CLASSES, COUNTS, strict=True)}
PLANS = (
    Plan(scene("drum", "mean_recall", 1 / len(CLASSES), seconds=None, folds=len(FOLDS)), PACKAGES, _clips, EXPECTED),
)
