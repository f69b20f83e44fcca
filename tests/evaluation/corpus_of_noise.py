"""A pretraining corpus in miniature: the paths are as in real packages, every recording is seeded noise."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from evaluation.suites.dev.library import Library, Recording
from evaluation.suites.dev.material import Material
from evaluation.suites.dev.notes import BANKS
from evaluation.tasks.write import RATE, Clip

PEAK = round(10 ** (-3 / 20) * 32767)  # of every clip of a task: 3 dB below full scale

Paths = Iterable[tuple[str, str, str, float]]  # package, path, kind and seconds of each clip


def write(folder: Path, paths: Paths) -> Path:
    """Manifest and pack, without shards."""
    rows, pcm = [], []
    for number, (package, path, kind, seconds) in enumerate(paths):
        noise = np.random.RandomState(number).standard_normal(round(seconds * RATE))
        pcm.append((3000 * noise).clip(-32768, 32767).astype("<i2"))
        rows.append({"key": f"{number:024x}", "package": package, "path": path, "kind": kind, "seconds": seconds})
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "source_rate"])
        writer.writeheader()
        writer.writerows({**row, "source_rate": 44100} for row in rows)
    np.concatenate(pcm).tofile(folder / "pack.int16")
    lengths = np.array([len(clip) for clip in pcm], np.int64)
    kinds, kind_of = np.unique([row["kind"] for row in rows], return_inverse=True)
    packages, package_of = np.unique([row["package"] for row in rows], return_inverse=True)
    np.savez(
        folder / "pack.npz",
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        kinds=kinds,
        kind_of=kind_of,
        packages=packages,
        package_of=package_of,
        keys=np.array([row["key"] for row in rows]),
        fingerprint=np.array("none"),
        format=np.array("flac"),
    )
    return folder


def paths() -> Paths:
    """Enough for every task that is made from recordings."""
    for package in ("naev-data", "wizznic-data", "supertux-data"):  # the last has too few tracks
        for number in range(4 if package == "supertux-data" else 8):
            yield package, f"music/{number}.ogg", "music", 30.5
    for number in range(40):
        for package, language in (("fillets-ng-data-cs", "cs"), ("fillets-ng-data-nl", "nl")):
            for fish in "mv":
                yield package, f"sound/cave/{language}/jes-{fish}-{number}.ogg", "speech", 1.6
        yield "festvox-ru", f"wav/ru_{number:04d}.wav", "speech", 1.6
        yield "flight-of-the-amazon-queen", f"queen.1c!JOE{number:05d}.SB", "speech", 1.6
    for letter in "abcdefghij":
        for number in range(3):
            yield "0ad-data", f"public.zip!audio/actor/fauna/cow{letter}_{number}.ogg", "sfx", 0.3
            yield "0ad-data", f"public.zip!audio/actor/singlesteps/fs_{letter}{number}.ogg", "sfx", 0.3
    for number in range(5):
        yield "flare-game", f"soundfx/step_metal{number}.ogg", "sfx", 0.3
        yield "scorched3d-data", f"wav/dog{number}.wav", "sfx", 0.3


def material(corpus: Path, work: Path) -> Material:
    """What a task is made from, with SoundFonts that nobody opens."""
    return Material(Library(corpus), dict.fromkeys(BANKS, Path("none")), work)


def recording(package: str, path: str, number: int = 0) -> Recording:
    """A recording without samples."""
    return Recording(number, f"{number:024x}", package, path, "sfx", 1.0, 44100)


def by_split(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    clips_of_split = defaultdict(list)
    for clip in clips:
        clips_of_split[clip.split].append(clip)
    return clips_of_split


def groups(clips: Iterable[Clip]) -> set[str]:
    return {clip.group for clip in clips}
