"""Task: the package that a crop of music comes from, as its style. Test and training have different tracks."""

from collections.abc import Iterator

from ...tasks.write import Clip
from .library import draw, share
from .material import Material
from .sound import cut, finish

PACKAGES = """
    0ad-data berusky2-data colobot-common-sounds davegnukem-data extremetuxracer-data flare-game
    freedroidrpg-data megaglest-data naev-data nexuiz-music openclonk-data pushover-data singularity-music
    starfighter-data supertux-data supertuxkart-data ufoai-music unknown-horizons warmux-data warzone2100-music
    wesnoth-1.16-music widelands-data wizznic-data
"""
SECONDS = 4.0
LONG = 30.0  # shortest track in seconds
RATE = 22050  # lowest rate of a source, so that all tracks have full bandwidth
FEWEST, MOST = 6, 10  # tracks of a package
CROPS = 3  # of a track


def clips(material: Material) -> Iterator[Clip]:
    """Crops of at most ten tracks of each package; two fifths of the tracks are for the test."""
    for package in PACKAGES.split():
        tracks = [
            track
            for track in material.library.of(package)
            if track.kind == "music" and track.seconds >= LONG and track.source_rate >= RATE
        ]
        if len(tracks) < FEWEST:
            continue
        for index, track in enumerate(draw(tracks, MOST, "style")):
            split = "test" if index % 5 < 2 else "valid" if index % 5 == 2 and index < 5 else "train"
            samples = material.library.pcm(track)
            for crop in range(CROPS):
                start = (track.seconds - SECONDS) * share("style", track.key, crop)
                pcm = finish(cut(samples, start, SECONDS))
                yield Clip(split, f"{track.key}-{crop}", pcm, [package], track.key)
