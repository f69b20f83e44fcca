"""The open corpus as plain data: Debian packages with recordings, and rules that read their paths.

A package is in one set only. ``open`` is for training. ``eval`` belongs to the evaluation and is never trained on.
"""

import re
from pathlib import PurePosixPath

OPEN = {
    "speech": "festvox-ru fillets-ng-data-cs fillets-ng-data-nl flight-of-the-amazon-queen",
    "music": """
        0ad-data adonthell-data amoebax-data angrydd ardentryst asc-music berusky2-data brainparty-data bumprace-data
        cavepacker-data colobot-common-sounds davegnukem-data enigma-data extremetuxracer-data flare-game freecol
        freedink-data freedroidrpg-data fretsonfire-songs-muldjord fretsonfire-songs-sectoid frozen-bubble-data
        funnyboat glob2-data gnome-shell-pomodoro-data gunroar-data hannah-data hex-a-hop-data lordsawar-data
        lugaru-data mrrescue naev-data neverball-common nexuiz-music noiz2sa-data openarena-088-data openclonk-data
        orbital-eunuchs-sniper-data pathological pinball-table-gnu-data planetblupi-music-ogg powermanga-data
        pushover-data renpy-demo rrootage-data scummvm-data singularity-music starfighter-data supertux-data
        supertuxkart-data titanion-data torus-trooper-data trackballs-data tumiki-fighters-data tuxmath-data
        tuxtype-data ufoai-music unknown-horizons warmux-data warzone2100-music wesnoth-1.16-music widelands-data
        wizznic-data wordwarvi-sound xmoto-data zaz-data""",
    "mixed": """
        btanks-data caveexpress-data crrcsim-data fillets-ng-data freeciv-data gigalomania-data krank lincity-ng-data
        mazeofgalious-data megaglest-data plee-the-bear-data scorched3d-data searchandrescue-data""",
    "sfx": """
        boswars-data bzflag-data emacspeak endless-sky-data etw-data foobillardplus-data freeorion-data kgoldrunner
        lomiri-sounds minetest-mod-mesecons netpanzer-data nexuiz-data openarena-081-misc openarena-081-players
        openttd-opensfx planetblupi-common triplea workrave-data""",
}
EVAL = {
    "speech": """
        asterisk-core-sounds-en-g722 asterisk-core-sounds-es-g722 asterisk-core-sounds-fr-g722
        asterisk-core-sounds-it-g722 asterisk-core-sounds-ru-g722 asterisk-prompt-it-menardi-wav
        asterisk-prompt-fr-armelle asterisk-prompt-es-co kajongg klettres-data ktuberling-data
        tuxpaint-stamps-default hedgewars-data qabcs-data codec2-examples""",
    "sfx": """
        scratch minetest-data bucklespring-data sound-theme-freedesktop oxygen-sounds tuxpaint-data openarena-data
        ufoai-sound wesnoth-1.16-data""",
    "drums": "hydrogen-drumkits hydrogen-data lmms-common sonic-pi-samples exadrums chuck-data",
    "instrument": "fluid-soundfont-gm freepats timgm6mb-soundfont",
    "music": "drascula-music asterisk-moh-opsound-g722 hyperrogue-music",
    "ambience": "marsshooter-data",
}
SMALL = """
    fillets-ng-data-nl asc-music noiz2sa-data wordwarvi-sound mazeofgalious-data netpanzer-data openttd-opensfx
    triplea"""  # of OPEN: something of every kind, 95 MB

KIND = {name: kind for table in (OPEN, EVAL) for kind, names in table.items() for name in names.split()}
SETS = {
    "open": [name for names in OPEN.values() for name in names.split()],
    "small": SMALL.split(),
    "eval": [name for names in EVAL.values() for name in names.split()],
}
# Packages with the same recordings in several codings: any of them stands for all.
SAME_RECORDINGS = re.compile(r"(asterisk-(?:core-sounds|moh|prompt)-.+)-(?:g722|gsm|wav|sln16)$")
EVAL_STEMS = {match[1] for name in SETS["eval"] if (match := SAME_RECORDINGS.match(name))}

AUDIO = {".ogg", ".oga", ".wav", ".flac", ".mp3", ".opus", ".au", ".aif", ".aiff", ".aifc", ".voc", ".gsm", ".g722"}
ARCHIVES = {".zip", ".pk3", ".pk4", ".dpk", ".wz", ".love", ".jar", ".sb"}  # zip files by many names

# package -> constant labels, and a pattern whose named groups are labels read from the path.
LABELS: dict[str, tuple[dict[str, str], str]] = {
    "festvox-ru": ({"language": "ru", "speaker": "festvox-ru"}, r"(?P<word>[^/]+)\.\w+$"),
    "fillets-ng-data-cs": ({"language": "cs"}, r"/(?P<group>[^/]+)/cs/[^/-]+-(?P<speaker>[mv])-"),
    "fillets-ng-data-nl": ({"language": "nl"}, r"/(?P<group>[^/]+)/nl/[^/-]+-(?P<speaker>[mv])-"),
    "flight-of-the-amazon-queen": ({"language": "en"}, r"!(?P<word>[^/]+)\.\w+$"),
}


def is_eval(name: str) -> bool:
    """Whether a package, or the same recordings in another coding, belongs to the evaluation."""
    match = SAME_RECORDINGS.match(name)
    return name in SETS["eval"] or (match is not None and match[1] in EVAL_STEMS)


def labels_of(package: str, path: str) -> dict[str, str]:
    """The labels that a recording's path gives."""
    constants, pattern = LABELS.get(package, ({}, "$^"))
    match = re.search(pattern, path)
    labels = {name: value for name, value in match.groupdict().items() if value} if match else {}
    if "speaker" in labels:  # of the fillets: a small and a big fish
        labels["speaker"] = f"{package}-{labels['speaker']}"
    return {**constants, **labels}


def kind_of(package: str, path: str, seconds: float) -> str:
    """speech, music, ambience or sfx: by the package, or by path and duration if the package mixes them."""
    kind, path = KIND.get(package, "mixed"), path.lower()
    if kind in ("drums", "instrument"):
        return kind
    if kind == "speech":
        return "music" if "/music/" in path else "speech"
    if re.search(r"voice|speech|speak|/say|_talk", path):
        return "speech"
    if re.search(r"ambien|/amb|amb_|wind|rain|forest|ocean|jungle|crowd|weather", path):
        return "ambience"
    return "music" if seconds > 25 or "/music" in path else "sfx"


def suffix_of(path: str) -> str:
    """The lower-case extension of a path inside a package."""
    return PurePosixPath(path).suffix.lower()
