"""Labels of the open recordings, from their packages and paths, as plain data.

A clip may have several labels: an effect called ``horse_gallop_water`` has two. A missing label proves nothing, as a
path need not name every sound. Training on labels leaves out effects without any. Nobody listened to the recordings:
some labels are wrong.
"""

import re
from functools import cache
from pathlib import PurePosixPath

from .synthesis.solos import LANGUAGES

# Effects and ambiences: label -> words. Any of them in the name of the file or of its folder gives the label.
EFFECTS = {
    "alarm": "alarm siren alert klaxon warning buzzer",
    "aircraft": "helicopter jet plane flyby airplane aircraft chopper biplane propeller airship",
    "arrow": "arrow arrows bow arrowfly crossbow",
    "bell": "bell bells chime chimes gong ding dingdong",
    "bird": "bird birds ptak eagle hawk crow owl seagull parrot birdchirp cuckoo woodpecker",
    "blade": "sword swords blade swordhit slash knife dagger battleaxe spear stab",
    "breaking": "break broken crack destroy collapse rip tear crumble breaking destroyed crackle snap burst",
    "burning": "flame flames burn burning campfire bonfire furnace flamethrower torch fireplace lava",
    "cannon": "cannon cannons catapult artillery mortar ballista howitzer",
    "cattle": "cow cows bull ox cattle moo buffalo bison muskox camel zebu",
    "clicking": "click clicks clicked button buttons switch mouseclick toggle lever buttonclick",
    "clock": "clock ticking tictac timer",
    "coins": "coin coins money gold cash treasure gem gems",
    "crowd": "crowd cheer applause cheering clap audience ovation market tavern",
    "cry": "scream pain hurt gasp groan die death ouch grunt dying moan screaming yell shriek screech",
    "dog or wolf": "wolf wolves dog dogs bark howl hound",
    "door": "door doors gate chest trapdoor unlock drawer",
    "eating": "eat crunch bite chew drink gulp burp munch slurp swallow eating drinking",
    "engine": "engine engines motor car truck bus tractor vehicle tank bulldozer motorcycle kart",
    "explosion": "explosion explosions explode explodes expl bomb bombs blast boom detonate exploding explo nuke",
    "failure": "lose lost fail gameover failure defeat error wrong denied",
    "fanfare": "win victory won success tada fanfare levelup triumph winner",
    "footsteps": "step steps footstep footsteps walk walking singlesteps stepping",
    "forest": "forest jungle woods rainforest woodland dayscape swamp",
    "glass": "glass shatter crystal",
    "gunshot": "gun guns shotgun rifle pistol machinegun bullet bullets uzi minigun gunshot gatling sniper musket",
    "horse": "horse horses neigh gallop donkey",
    "impact": "punch slap kick thud impact smash bump collide collision bonk knock thump slam crash",
    "insect": "insect insects cricket crickets bee bees mosquito cicada wasp",
    "jump": "jump boing bounce hop spring jumping bigjump bounces",
    "laser": "laser lasers phaser plasma beam blaster ion photon disruptor railgun zap electro",
    "laughter": "laugh giggle laughing laughter chuckle taunt",
    "machine": "machine factory industry mill machinery drill pump generator elevator hydraulic desertfactory servo",
    "magic": "spell enchant heal fireball curse summon spells summoning wizard healing",
    "menu": "select selected menu selection choose cursor",
    "metal": "metal anvil clang metalbang iron steel chain blacksmith forge hammer",
    "monster": "zombie dragon demon ghost golem troll orc monster creature growl roar goblin skeleton ogre lycan mummy",
    "pickup": "powerup bonus pickup item collect upgrade extralife reward pickups",
    "pig": "pig pigs boar piglet",
    "poultry": "chicken hen rooster duck goose chick",
    "rain": "rain raining rainfall",
    "rocket": "rocket rockets missile missiles torpedo bazooka",
    "sheep or goat": "sheep goat lamb baa",
    "shield": "shield forcefield barrier deflect ricochet",
    "skidding": "skid slide ski skate sliding",
    "squelch": "splat gore blood squish slime gib gibs bubble bubbles mud",
    "stone": "stone rock rocks stones mining pickaxe quarry stonebang boulder gravel avalanche",
    "teleport": "teleport warp hyperspace teleporter portal telein teleout hyperdrive",
    "thunder": "thunder lightning storm thunderstorm",
    "water": "water splash river waterfall drip fountain swim plop waves sea ocean underwater dive shore",
    "whoosh": "swing swoosh whoosh throw swish woosh swipe",
    "wind": "wind windy breeze blizzard",
    "wood": "wood lumber lumbering chop saw sawmill tree woodcutter lumberjack axe wooden creak",
}
# Words in a package's file names that do not describe its sounds.
NAMES = {
    "openttd-opensfx": "cat",
    "plee-the-bear-data": "bear",
    "megaglest-data": "thrower",  # of axes: a person
    "nexuiz-data": "m",
}
UNINFORMATIVE = {"openttd-opensfx", "emacspeak"}  # packages whose paths do not describe their sounds

# Packages whose music is a class of its own: each has at least ten long tracks.
OWN_STYLE = """
    0ad-data berusky2-data colobot-common-sounds megaglest-data naev-data nexuiz-music planetblupi-music-ogg
    singularity-music supertux-data supertuxkart-data ufoai-music unknown-horizons warzone2100-music
    wesnoth-1.16-music widelands-data"""
STYLES = frozenset(OWN_STYLE.split())
LONG = 30.0  # seconds of such a track

# Packages whose effects and music are kept from training and make the validation mixtures.
VALID = """
    ardentryst btanks-data caveexpress-data endless-sky-data flare-game freedink-data mazeofgalious-data
    plee-the-bear-data scorched3d-data supertuxkart-data triplea widelands-data"""
HELD_OUT = frozenset(VALID.split())
TWO_SPEAKERS = {"fillets-ng-data-cs", "fillets-ng-data-nl"}  # clips without a speaker have no labels
HELD_OUT_SPEAKERS = {"fillets-ng-data-cs-v", "fillets-ng-data-nl-v"}  # the big fish in both languages
VALID_TRACKS = 5  # one track of a style in five is for validation


@cache
def _labels_by_word() -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {}
    for label, words in EFFECTS.items():
        for word in words.split():
            labels.setdefault(word, []).append(label)
    return labels


def words_of(path: str) -> set[str]:
    """The words in the names of a file and its folder: ``Metal/sword-hit2.ogg`` has metal, sword and hit."""
    inside = PurePosixPath(path.replace("!", "/"))
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", f"{inside.parent.name} {inside.stem}")
    return set(re.findall(r"[a-z]+", spaced.lower()))


def tags_of(package: str, path: str, kind: str, seconds: float, labels: dict[str, str]) -> tuple[str, ...]:
    """The labels of a clip, sorted; empty if the path names none.

    Args:
        package, path, kind, seconds: columns of the manifest.
        labels: the manifest's labels. A clip of the user's own has only ``label``, split at ``;``.
    """
    if "label" in labels:
        return tuple(sorted(filter(None, map(str.strip, labels["label"].split(";")))))
    if package in UNINFORMATIVE:
        return ()
    if kind == "speech":
        has_speaker = "language" in labels and not (package in TWO_SPEAKERS and "speaker" not in labels)
        return tuple(sorted({"speech", LANGUAGES[labels["language"]]})) if has_speaker else ()
    if kind == "music":
        own = package in STYLES and seconds >= LONG
        return ("music", f"music of {package}") if own else ("music",)
    words = words_of(path) - set(NAMES.get(package, "").split())
    return tuple(sorted({label for word in words for label in _labels_by_word().get(word, ())}))


def group_of(package: str, path: str, labels: dict[str, str]) -> str:
    """The group of clips that are not independent: one speaker, voice, program or package."""
    if "label" in labels:
        return str(PurePosixPath(path).parent)
    return labels.get("speaker", package)


def split_of(package: str, path: str, tags: tuple[str, ...], key: str, labels: dict[str, str]) -> str:
    """``train`` or ``valid``: by folder for the user's own clips, else by speaker, by track or by package."""
    if "label" in labels:
        return "valid" if path.startswith("valid/") else "train"
    if "language" in labels:
        return "valid" if labels.get("speaker") in HELD_OUT_SPEAKERS else "train"
    if any(tag.startswith("music of ") for tag in tags):
        return "valid" if int(key, 16) % VALID_TRACKS == 0 else "train"
    return "valid" if package in HELD_OUT else "train"
