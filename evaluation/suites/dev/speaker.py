"""Task: the speaker, among voice actors of games and voice packs. The test has other words than training."""

import re
from collections import defaultdict
from collections.abc import Iterator

from ...tasks.write import RATE, Clip
from .library import Recording, draw, share
from .material import Material
from .sound import cut, finish, trim

SECONDS = 1.5  # at most, of a clip
SHORTEST = 0.3  # seconds without the silence at both ends
FEWEST, MOST = 12, 40  # clips of a speaker
# package -> pattern of its paths, with groups for speaker and words
PATTERNS = {
    "fillets-ng-data-cs": r"/cs/[^/-]+-(?P<speaker>[mv])-(?P<words>[^/]+)\.",  # a small fish, and a big one
    "fillets-ng-data-nl": r"/nl/[^/-]+-(?P<speaker>[mv])-(?P<words>[^/]+)\.",
    "festvox-ru": r"/(?P<speaker>ru)_(?P<words>\d+)\.",
    # the hero and some other persons. The archive numbers these, and one person may have two numbers; of the numbers
    # below, every pair was told apart in at least 96 % of cases by mean spectra
    "flight-of-the-amazon-queen": r"!(?P<speaker>JOE|(?:03|08|12|33|35|39|57|61)(?=\w{4}P))(?P<words>\w+)\.",
    "0ad-data": r"audio/voice/(?P<speaker>\w+/civ/civ_(?:fe)?male)_(?P<words>[^/]+?)(?:_\d+)?\.",
    "nexuiz-data": r"sound/player/(?P<speaker>[^/]+)/(?:coms|player)/(?P<words>[^/]+)\.",
    "megaglest-data": r"/(?P<speaker>archmage|battlemage|genie|initiate|mummy|princess|summoner|valkyrie|warrior)_"
    r"(?P<words>(?:ack|select|die)[^/]*)\.",
}


def clips(material: Material) -> Iterator[Clip]:
    """Clips of speakers with at least ``FEWEST`` lines. A hash puts half of all words into the test."""
    spoken: dict[str, list[tuple[Recording, str]]] = defaultdict(list)
    for recording in material.library.of(*PATTERNS):
        if speaker_and_words := who_says_what(recording):
            spoken[speaker_and_words[0]].append((recording, speaker_and_words[1]))
    for speaker, lines in sorted(spoken.items()):
        words = {recording.key: word for recording, word in lines}
        chosen = draw((recording for recording, _ in lines), MOST, "speaker")
        if len(chosen) < FEWEST:
            continue
        for recording in chosen:
            samples = trim(material.library.pcm(recording))
            if len(samples) < SHORTEST * RATE:
                continue
            word = words[recording.key]
            split = "test" if share("word", word) < 0.5 else "valid" if share("valid", word) < 0.15 else "train"
            yield Clip(split, recording.key, finish(cut(samples, 0.0, SECONDS)), [speaker], word)


def who_says_what(recording: Recording) -> tuple[str, str] | None:
    """Speaker and words, or None if the path does not give them."""
    match = re.search(PATTERNS[recording.package], recording.path)
    if not match:
        return None
    speaker = match["speaker"].replace("/civ/civ_", "-")
    return f"{recording.package.removesuffix('-data')}-{speaker}", match["words"]
