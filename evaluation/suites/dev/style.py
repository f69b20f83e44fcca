"""Whose music it is: crops of tracks that were not heard in training; a package stands for a style."""

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
LONG = 30.0  # seconds that a track has at least
RATE = 22050  # of the source at least, so that all fill the band
FEWEST, MOST = 6, 10  # tracks of a package
CROPS = 3  # of a track


def clips(material: Material) -> Iterator[Clip]:
    """Of each package at most ten tracks, two fifths of them for the test."""
    for package in PACKAGES.split():
        tracks = [
            track
            for track in material.library.of(package)
            if track.kind == "music" and track.seconds >= LONG and track.source_rate >= RATE
        ]
        if len(tracks) < FEWEST:
            continue
        for place, track in enumerate(draw(tracks, MOST, "style")):
            split = "test" if place % 5 < 2 else "valid" if place % 5 == 2 and place < 5 else "train"
            samples = material.library.pcm(track)
            for crop in range(CROPS):
                start = (track.seconds - SECONDS) * share("style", track.key, crop)
                pcm = finish(cut(samples, start, SECONDS))
                yield Clip(split, f"{track.key}-{crop}", pcm, [package], track.key)
