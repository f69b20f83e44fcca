"""Task: the class of a sound effect, by words in its path. Test and training have different packages."""

import re
from collections.abc import Callable, Iterator

from ...tasks.write import Clip
from .library import Recording, draw, round_robin, splits
from .material import Material
from .sound import cut, finish, trim

SECONDS = 4.0  # at most, of a clip
LONGEST = 8.0  # seconds of a recording
PER_CLASS = 60  # clips of a class on one side
NOTHING = "$^"  # matches no path
HUMANS = (
    "archer|archmage|battlemage|swordman|stickfighter|horseman|guard|worker|warrior|princess|spearman|summoner|"
    "technician|initiate|valkyrie|axe_thrower"
)
Side = dict[str, dict[str, str]]  # class -> package -> pattern of its paths
A: Side = {
    "animal": {
        "0ad-data": "/fauna/",
        "widelands-data": "/animals/|duck_|sheep_|farm_animal|farm/(horse|ox|donkey)",
        "brainparty-data": "meow|baa",
    },
    "footstep": {"0ad-data": "singlesteps|mstep|footstep", "caveexpress-data": "cave-walk|mammut-walk"},
    "interface": {
        "freeorion-data": "button|select|window|list_|panel",
        "workrave-data": "sounds?/",
        "0ad-data": "audio/interface/(alarm|ui)",
        "brainparty-data": "click|gem_select|beep|correct",
    },
    "tool": {
        "0ad-data": "resource/(mining|lumbering|construction)/(mine|lumber|con)_",
        "lincity-ng-data": "build|blacksmith|mill\\d",
        "widelands-data": "woodcutting/|hammering/|/saw|smith|stonecut",
    },
    "vehicle": {
        "searchandrescue-data": "engine|wheel_s",
        "lincity-ng-data": "train|plane|trafic",
        "btanks-data": "engine|vehicle-sound",
        "freeciv-data": "thover|tread",
    },
    "vocal": {"0ad-data": "human/death", "openarena-081-players": "pain|death|fall|jump|taunt"},
    "weapon": {
        "warmux-data": "weapons/.*(fire|shot|gun|explo|bazooka|m16|missile|ricoche|sniper)",
        "freeorion-data": "explosion|laser|missile|fire",
        "powermanga-data": "explosion|fire",
        "0ad-data": "attack/weapon/(musket|sling|bow|arrowfly)",
        "btanks-data": "explosion|cannon|missile|bullet|gunner",
    },
}
B: Side = {
    "animal": {
        "megaglest-data": "/(pig|sheep|chicken|cow|bull|wolf|eagle|snake|owl|hawk|rooster|bee|horse)_?[^/m]*$",
        "scorched3d-data": "moo|dog|wolf|birdchirp|rooster|cows",
        "berusky2-data": "crow|frog",
        "lugaru-data": "bark|growl",
        "freedink-data": "bird",
        "supertuxkart-data": "cow|sheep|birds",
    },
    "footstep": {
        "ardentryst": "_step",
        "flare-game": "step_",
        "berusky2-data": "/w?steps?",
        "nexuiz-data": "footstep",
        "lugaru-data": "footstep",
        "megaglest-data": "walk",
    },
    "interface": {
        "emacspeak": "/(button|(de)?select-object|item|open-object|close-object|on|off|help|left|right)\\.wav",
        "ardentryst": "menu",
        "enigma-data": "menu",
        "angrydd": "select|tick|click",
        "nexuiz-data": "misc/menu|mouseclick",
        "freedroidrpg-data": "menu",
        "lomiri-sounds": "notifications|click",
    },
    "tool": {
        "megaglest-data": "_(mine|build|repair|harvest)(_wood)?\\d|anvil",
        "freecol": "building",
        "unknown-horizons": "build|lumberjack|smith|stonemason",
        "supertuxkart-data": "hammer",
        "triplea": "sawing",
    },
    "vehicle": {
        "supertuxkart-data": "engine|car_|skid|locomotive|/horn|machine_sound",
        "scorched3d-data": "horn|policecar|truck",
        "netpanzer-data": "idle|/hev|unitsound",
        "triplea": "air_0._air|motor_engine|engine_failure",
        "gigalomania-data": "plane",
        "etw-data": "engine",
        "naev-data": "engine",
        "tuxmath-data": "engine",
        "megaglest-data": "airship_fly|orni_fly",
        "tumiki-fighters-data": "propeller",
    },
    "vocal": {
        "nexuiz-data": "player/[^/]+/(player/)?(pain|death|fall|gasp|jump|drown)",
        "ardentryst": "_(pain|jump|hurt|die|death)\\d",
        "megaglest-data": f"/({HUMANS})_die",
        "scorched3d-data": "scream",
        "flare-game": "(fe)?male_(die|hit)",
        "freedroidrpg-data": "scream",
        "freedink-data": "grunt|scream",
    },
    "weapon": {
        "nexuiz-data": "weapons/.*(fire|impact|exp|shot)",
        "scorched3d-data": "rocket|launch|shoot|explo|large|small|medium|laser",
        "endless-sky-data": "explosion|missile|laser|cannon|torpedo|blaster",
        "starfighter-data": "missile|laser|explode",
        "naev-data": "explosion|laser|missile|cannon|fire",
        "davegnukem-data": "laser|shot|explode|shoot",
        "netpanzer-data": "-fire",
        "etw-data": "shot|shoot|bomb|cannon",
        "rrootage-data": "shot|laser|explosion|bomb",
    },
}


def clips(training: Side, testing: Side) -> Callable[[Material], Iterator[Clip]]:
    """A generator of clips: at most sixty of each class on each side, taken from the packages in turn."""

    def generate(material: Material) -> Iterator[Clip]:
        for side, table in (("train", training), ("test", testing)):
            for label in table:
                recordings = draw(of_class(material, table, label), len(material.library.recordings), "sfx")
                for recording in round_robin(recordings, lambda recording: recording.package, PER_CLASS):
                    samples = cut(trim(material.library.pcm(recording)), 0.0, SECONDS)
                    unit = f"{recording.package}/{recording.stem.rstrip('0123456789_-')}"
                    split = side if side == "test" else splits((unit,), False)
                    yield Clip(split, recording.key, finish(samples), [label], unit)

    return generate


def of_class(material: Material, table: Side, label: str) -> Iterator[Recording]:
    """The recordings whose paths match this class and no other class of the table."""
    for recording in material.library.of(*table[label]):
        path = recording.path.lower().replace("!", "/")
        labels = [name for name, words in table.items() if re.search(words.get(recording.package, NOTHING), path)]
        if labels == [label] and recording.seconds <= LONGEST and recording.kind != "music":
            yield recording
