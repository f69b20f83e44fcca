"""Packed corpora in miniature with what a labelled set is made of: paths and labels, and sounds that tell the clip."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from corpora.clips import RATE

Clip = tuple[str, str, str, dict[str, str], np.ndarray]  # package, path, kind, labels, samples from -1 to 1


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def write(folder: Path, clips: Sequence[Clip], fingerprint: str = "abc") -> Path:
    """A corpus's pack and manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    pcm = [np.round(32767 * samples).astype("<i2") for *_, samples in clips]
    lengths = np.array([len(samples) for samples in pcm], np.int64)
    keys = [hashlib.sha256(f"{fingerprint}/{number}".encode()).hexdigest()[:24] for number in range(len(clips))]
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "package", "path", "kind", "seconds", "labels"])
        for key, (package, path, kind, labels, samples) in zip(keys, clips, strict=True):
            writer.writerow([key, package, path, kind, len(samples) / RATE, json.dumps(labels) if labels else ""])
    np.concatenate(pcm).tofile(folder / "pack.int16")
    kinds, kind_of = np.unique([clip[2] for clip in clips], return_inverse=True)
    packages, package_of = np.unique([clip[0] for clip in clips], return_inverse=True)
    np.savez(
        folder / "pack.npz",
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        kinds=kinds,
        kind_of=kind_of.astype(np.int32),
        packages=packages,
        package_of=package_of.astype(np.int32),
        keys=np.array(keys),
        fingerprint=np.array(fingerprint),
        format=np.array("flac"),
    )
    return folder


def solos(folder: Path, low: float = 250.0, high: float = 3000.0, clips: int = 6) -> Path:
    """Two classes, a low tone and a high one, in the folders that solos have; each clip has a pitch of its own."""
    made: list[Clip] = []
    for split in ("train", "valid"):
        for number in range(clips):
            for name, hertz in (("low", low), ("high", high)):
                path = f"{split}/notes/{name}-{split}/{number}.flac"
                samples = tone(hertz * (1 + 0.02 * number), 1.0 + 0.3 * number)
                made.append(("manifest", path, "notes", {"label": f"music;{name}"}, samples))
    return write(folder, made)
