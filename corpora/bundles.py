"""Readers of files that bundle many recordings. Each yields names and bytes in formats that soundfile reads."""

import io
import struct
from collections.abc import Callable, Iterator

import numpy as np
import soundfile

Recordings = Iterator[tuple[str, bytes]]
SECONDS = 4  # longest sample of a bank


def queen(data: bytes) -> Recordings:
    """The resource file of *Flight of the Amazon Queen*: an index of 21-byte entries; .SB members are MPEG audio."""
    [count] = struct.unpack_from(">H", data, 13)
    for index in range(count):
        entry = data[15 + 21 * index : 36 + 21 * index]
        name = entry[:12].split(b"\0")[0].decode("latin-1")
        offset, size = struct.unpack_from(">II", entry, 13)
        if name.endswith(".SB") and size > 200:
            yield name, data[offset : offset + size]


def riffs(data: bytes) -> Recordings:
    """WAV files embedded whole in another file, as in OpenTTD's sound set."""
    start = data.find(b"RIFF")
    while start >= 0:
        after = start + 4
        size = struct.unpack_from("<I", data, after)[0] + 8 if after + 4 <= len(data) else 0
        if data[start + 8 : start + 12] == b"WAVE" and start + size <= len(data) + 8:
            yield f"{start:08x}.wav", data[start : start + size]
            after = start + max(size - 8, 4)
        start = data.find(b"RIFF", after)


def soundfont(data: bytes) -> Recordings:
    """The samples of a SoundFont 2 bank, without the right channels of stereo pairs."""
    tables = chunks(data)
    start, size = tables[b"smpl"]
    pcm = np.frombuffer(data, "<i2", size // 2, start)
    start, size = tables[b"shdr"]
    headers = list(struct.iter_unpack("<20sIIIIIBbHH", data[start : start + size - size % 46]))
    for index, (name, begin, end, _, _, rate, _, _, _, sample_type) in enumerate(headers[:-1]):
        if begin < end <= len(pcm) and rate >= 4000 and not sample_type & 0x8002:
            text = name.split(b"\0")[0].decode("latin-1").strip()
            yield f"{index:04}_{text}.wav", wav(pcm[begin:end], rate)


def patch(data: bytes) -> Recordings:
    """The samples of a Gravis Ultrasound patch."""
    if data[:7] != b"GF1PATC":
        return
    position, index = 239, 0
    while position + 96 <= len(data):
        size, _, _, rate = struct.unpack_from("<IIIH", data, position + 8)
        wide, unsigned = data[position + 55] & 1, data[position + 55] & 2
        raw = data[position + 96 : position + 96 + size]
        position += 96 + size
        if rate < 4000 or size < 64:
            continue
        pcm = np.frombuffer(raw[: len(raw) & ~1], "<i2") if wide else np.frombuffer(raw, "i1").astype("<i2") << 8
        yield f"{index:03}.wav", wav(pcm ^ -0x8000 if unsigned else pcm, rate)
        index += 1


READERS: dict[str, Callable[[bytes], Recordings]] = {
    ".1c": queen, ".cat": riffs, ".mpk": riffs, ".sf2": soundfont, ".pat": patch,
}  # fmt: skip


def wav(pcm: np.ndarray, rate: int) -> bytes:
    """A bank's sample as a WAV file, cut to a few seconds."""
    file = io.BytesIO()
    soundfile.write(file, pcm[: SECONDS * rate].astype("<i2"), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def chunks(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Start and size of each chunk inside the lists of a RIFF file."""
    extents, position = {}, 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        if name == b"LIST":
            position += 12  # into the list: its own chunks follow
        else:
            extents[name] = (position + 8, size)
            position += 8 + size + size % 2
    return extents
