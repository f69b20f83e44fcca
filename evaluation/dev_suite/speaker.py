"""Who speaks, by other words than in training: actors of games, and voice packs."""

import re
from collections import defaultdict
from collections.abc import Iterator

from evaluation.hear_format import Clip

from .library import Recording, draw, share
from .material import Material
from .sound import cut, finish, trim

SECONDS = 1.5  # at most, of a clip
SHORTEST = 0.3  # without the silence around
FEWEST, MOST = 18, 50  # clips of a speaker
# package -> what a path says of speaker (the first group) and words (the second)
PATTERNS = {
    "fillets-ng-data-cs": r"/cs/([^/-]+-[mv]-[^/]+)\.",
    "fillets-ng-data-nl": r"/nl/([^/-]+-[mv]-[^/]+)\.",
    "festvox-ru": r"/(ru_\d+)\.",
    "flight-of-the-amazon-queen": r"!(JOE\w+|\w{6}J\w)\.",
    "0ad-data": r"audio/voice/(\w+/civ/civ_(?:fe)?male)_([^/]+?)(?:_\d+)?\.",
    "nexuiz-data": r"sound/player/([^/]+)/(?:coms|player)/([^/]+)\.",
    "megaglest-data": r"/(swordman|stickfighter|daemon|archer|horseman|battlemage|archmage|initiate|technician|summoner"
    r"|princess|shaman|genie|valkyrie|warrior)_((?:ack|select|die|attack)[^/]*)\.",
}


def clips(material: Material) -> Iterator[Clip]:
    """Speakers with enough to say; words of one half of all hashes are for the test."""
    spoken: dict[str, list[tuple[Recording, str]]] = defaultdict(list)
    for recording in material.library.of(*PATTERNS):
        if found := who_says_what(recording):
            spoken[found[0]].append((recording, found[1]))
    for speaker, lines in sorted(spoken.items()):
        words = {recording.key: word for recording, word in lines}
        chosen = draw((recording for recording, _ in lines), MOST, "speaker")
        if len(chosen) < FEWEST:
            continue
        for recording in chosen:
            samples = trim(material.library.pcm(recording))
            if len(samples) < SHORTEST * 16000:
                continue
            word = words[recording.key]
            split = "test" if share("word", word) < 0.5 else "valid" if share("valid", word) < 0.15 else "train"
            yield Clip(split, recording.key, finish(cut(samples, 0.0, SECONDS)), [speaker], speaker)


def who_says_what(recording: Recording) -> tuple[str, str] | None:
    """Speaker and words, or None where the path does not tell."""
    match = re.search(PATTERNS[recording.package], recording.path)
    if not match:
        return None
    groups = match.groups()
    if len(groups) == 2:
        return f"{recording.package.split('-')[0]}-{groups[0].replace('/civ/civ', '').replace('/', '-')}", groups[1]
    name = recording.package
    if name.startswith("fillets"):  # a small fish, and a big one
        name = f"{name}-{groups[0].split('-')[1]}"
    return name, groups[0]
