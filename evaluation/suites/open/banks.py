"""Sample banks of instruments: samples with labels from the banks' own tables, for tasks 4 and 5.

The labels of a sample are ``family`` (of General MIDI, if all presets that use the sample agree), ``pitch`` (the MIDI
note of the recording, if it has one) and ``preset`` (the first that uses it).
"""

import math
import re
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from corpora import bundles, catalogue, debian
from corpora.debian import DebianError
from corpora.sources import Fault, Package, Provenance, SourceRecording

from .recordings import NOTES

FAMILIES = (
    *("piano", "chromatic-percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass"),
    *("reed", "pipe", "synth-lead", "synth-pad", "synth-effects", "ethnic", "percussive", "sound-effects"),
)
UNPITCHED = ("percussive", "sound-effects")
LOWEST, HIGHEST = 21, 108  # MIDI notes
SUSTAIN = 1.5  # seconds of a sample with its repeated loop
DRUMS = 128  # the bank of percussion presets

# Operators of a SoundFont's generators.
INSTRUMENT, SAMPLE, COARSE, FINE, SCALE, ROOT = 41, 53, 51, 52, 56, 58


class Note(NamedTuple):
    """A sample of a bank."""

    name: str
    pcm: np.ndarray
    rate: int
    labels: dict[str, str]


class Bank(Package):
    """A Debian package of sample banks, each sample with its labels."""

    def __init__(self, name: str, keep: Path | None = None, mirror: str = "", suite: str = "") -> None:
        super().__init__(name, keep, mirror, suite)
        self.name, self.step = name, name + NOTES

    def recordings(self, work: Path) -> Iterator[SourceRecording | Fault]:
        deb = debian.find(self.name, self.mirror, self.suite)
        path = debian.download(deb, self.keep or work)
        self.provenance = Provenance(self.name, deb.version, deb.sha256, path.stat().st_size)
        for name, content in debian.members(path):
            if name.startswith("usr/share/doc/") and name.endswith("/copyright"):
                self.provenance.licences["copyright"] = content.read().decode("utf-8", "replace")
            elif reader := READERS.get(catalogue.suffix_of(name)):
                for note in reader(name, content.read()):
                    file = work / "note.wav"
                    file.write_bytes(bundles.wav(note.pcm, note.rate))
                    yield SourceRecording(f"{name}!{note.name}", file, "instrument", note.labels)
        if not self.provenance.licences:
            raise DebianError(f"{self.name}: holds no copyright file")


def soundfont(path: str, data: bytes) -> Iterator[Note]:
    """The samples of a SoundFont 2 bank, without the right channels of stereo pairs."""
    tables = _Tables(data)
    uses = tables.uses()
    start, size = tables.extents[b"smpl"]
    memory = np.frombuffer(data, "<i2", size // 2, start)
    for index, (name, begin, end, loop, loop_end, rate, _, correction, _, sample_type) in enumerate(tables.samples):
        if begin < end <= len(memory) and rate >= 4000 and not sample_type & 0x8002:
            text = name.split(b"\0")[0].decode("latin-1").strip()
            pcm = sustained(memory[begin:end], rate, loop - begin, loop_end - begin)
            yield Note(f"{index:04}_{text}.wav", pcm, rate, _labels(uses.get(index, []), correction))


class _Use(NamedTuple):
    """A preset's use of a sample: root key, tuning in cents, and scale in cents a key."""

    bank: int
    program: int
    root: int
    cents: int
    scale: int


def _labels(uses: list[_Use], correction: int) -> dict[str, str]:
    melodic = [use for use in uses if use.bank < DRUMS and use.scale == 100]
    families = {FAMILIES[use.program // 8] for use in melodic}
    if len(families) != 1 or any(use.bank == DRUMS for use in uses):
        return {}
    first = min(melodic)
    labels = {"family": families.pop(), "preset": f"{first.bank:03}:{first.program:03}"}
    # a sample tuned up to its root key was recorded that much below it
    notes = {use.root - round((use.cents + correction) / 100) for use in melodic}
    if len(notes) == 1 and labels["family"] not in UNPITCHED and LOWEST <= (note := notes.pop()) <= HIGHEST:
        labels["pitch"] = str(note)
    return labels


class _Tables:
    """The tables of a SoundFont 2 bank: presets use instruments, instruments use samples."""

    def __init__(self, data: bytes) -> None:
        self.data, self.extents = data, bundles.chunks(data)
        self.samples = self._table(b"shdr", "<20sIIIIIBbHH")[:-1]

    def uses(self) -> dict[int, list[_Use]]:
        """The uses of every sample."""
        presets, instruments = self._table(b"phdr", "<20sHHHIII"), self._table(b"inst", "<20sH")
        inner = self._zones([entry[1] for entry in instruments], b"ibag", b"igen", SAMPLE)
        outer = self._zones([entry[3] for entry in presets], b"pbag", b"pgen", INSTRUMENT)
        uses: dict[int, list[_Use]] = {}
        for preset, zones in enumerate(outer):
            _, program, bank, *_ = presets[preset]
            for zone in zones:
                for layer in inner[zone[INSTRUMENT]]:
                    root = layer.get(ROOT, 255)
                    root = root if root < DRUMS else self.samples[layer[SAMPLE]][6]
                    cents = sum(100 * _signed(g.get(COARSE, 0)) + _signed(g.get(FINE, 0)) for g in (zone, layer))
                    use = _Use(bank, program, root, cents, layer.get(SCALE, 100))
                    uses.setdefault(layer[SAMPLE], []).append(use)
        return uses

    def _zones(self, starts: list[int], bags: bytes, generators: bytes, target: int) -> list[list[dict[int, int]]]:
        """For each entry, the settings of its zones with a target. A first zone without one holds shared settings."""
        bounds = [first for first, _ in self._table(bags, "<HH")]
        settings = self._table(generators, "<HH")
        entries = []
        for start, end in pairwise(starts):
            shared: dict[int, int] = {}
            zones = []
            for zone in range(start, end):
                own = {**shared, **dict(settings[bounds[zone] : bounds[zone + 1]])}
                if target in own:
                    zones.append(own)
                elif zone == start:
                    shared = own
            entries.append(zones)
        return entries

    def _table(self, name: bytes, layout: str) -> list[tuple]:
        start, size = self.extents[name]
        return list(struct.iter_unpack(layout, self.data[start : start + size - size % struct.calcsize(layout)]))


def patch(path: str, data: bytes) -> Iterator[Note]:
    """The samples of a Gravis Ultrasound patch. Its file name begins with the General MIDI program."""
    if data[:7] != b"GF1PATC":
        return
    program = re.search(r"Tone_000/(\d{3})_", path)
    position, index = 239, 0
    while position + 96 <= len(data):
        size, loop, loop_end, rate, _, _, root = struct.unpack_from("<IIIHIII", data, position + 8)
        modes = data[position + 55]
        raw = data[position + 96 : position + 96 + size]
        position += 96 + size
        if rate < 4000 or size < 64:
            continue
        wide, unsigned, looped = modes & 1, modes & 2, modes & 4
        pcm = np.frombuffer(raw[: len(raw) & ~1], "<i2") if wide else np.frombuffer(raw, "i1").astype("<i2") << 8
        pcm = pcm ^ -0x8000 if unsigned else pcm
        pcm = sustained(pcm, rate, loop >> wide, loop_end >> wide) if looped else pcm
        labels = {"family": FAMILIES[int(program[1]) // 8], "preset": program[1]} if program else {}
        if labels and labels["family"] not in UNPITCHED and (note := _note(root / 1000)):
            labels["pitch"] = str(note)
        yield Note(f"{index:03}.wav", pcm, rate, labels)
        index += 1


def sustained(pcm: np.ndarray, rate: int, loop: int, loop_end: int) -> np.ndarray:
    """The sample, extended to 1.5 s by its loop if the loop is valid."""
    length = round(SUSTAIN * rate)
    if loop > 0 and loop + 16 <= loop_end <= len(pcm) and len(pcm) < length and loop_end < length:
        return np.concatenate([pcm[:loop_end], np.resize(pcm[loop:loop_end], length - loop_end)])
    return pcm


def _note(frequency: float) -> int | None:
    """The MIDI note of a frequency in Hz, or None if no note is close."""
    if frequency <= 20:
        return None
    exact = 69 + 12 * math.log2(frequency / 440)
    note = round(exact)
    return note if abs(exact - note) < 0.3 and LOWEST <= note <= HIGHEST else None


def _signed(value: int) -> int:
    return value - 65536 if value > 32767 else value


READERS: dict[str, Callable[[str, bytes], Iterator[Note]]] = {".sf2": soundfont, ".pat": patch}
