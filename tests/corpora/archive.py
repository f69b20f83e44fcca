"""A small Debian archive for the tests, on disk or behind a server that can stall; the commands to run on it."""

import csv
import hashlib
import io
import json
import lzma
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from click.testing import CliRunner, Result

from corpora import corpus, pack
from corpora.pack import Pack

COPYRIGHT = "Files: *\nCopyright: nobody\nLicense: CC0-1.0\n"


def sound(seed: int, seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    """Seeded bursts of coloured noise, of which no two seeds are alike."""
    generator = np.random.default_rng(seed)
    bursts = []
    for part in np.array_split(np.zeros(round(seconds * rate)), 16):
        spectrum = np.fft.rfft(generator.standard_normal(len(part)))
        colour = np.repeat(10 ** generator.uniform(-1.5, 0, 12), -(-len(spectrum) // 12))[: len(spectrum)]
        bursts.append(np.fft.irfft(spectrum * colour, len(part)))
    return 0.7 * np.concatenate(bursts) / np.abs(np.concatenate(bursts)).max()


def encoded(samples: np.ndarray, rate: int = 16000, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


def deb(files: dict[str, bytes], suffix: str = ".xz") -> bytes:
    """A package of these files: an ar archive around a compressed tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    data = buffer.getvalue()
    packed = {".xz": lzma.compress, ".gz": _gzip, ".bz2": _bzip2, ".zst": _zstd, "": bytes}[suffix](data)
    members = {"debian-binary": b"2.0\n", "control.tar.xz": lzma.compress(b"x"), f"data.tar{suffix}": packed}
    whole = b"!<arch>\n"
    for name, content in members.items():
        whole += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        whole += content + b"\n" * (len(content) % 2)
    return whole


def sounds_deb(name: str, sounds: dict[str, bytes], suffix: str = ".xz") -> bytes:
    """A package of sounds with a copyright file, as Debian's have it."""
    files = {f"usr/share/games/{name}/{path}": content for path, content in sounds.items()}
    return deb({f"usr/share/doc/{name}/copyright": COPYRIGHT.encode(), **files}, suffix)


def mirror(folder: Path, packages: dict[str, bytes]) -> Path:
    """An archive of these packages, all of version 1:2-3."""
    stanzas = []
    for name, content in packages.items():
        path = folder / "pool" / f"{name}_2-3_all.deb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sha = hashlib.sha256(content).hexdigest()
        stanzas.append(f"Package: {name}\nVersion: 1:2-3\nFilename: pool/{path.name}\nSHA256: {sha}\n")
    index = folder / "dists/bookworm/main/binary-amd64/Packages.xz"
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_bytes(lzma.compress("\n".join(stanzas).encode()))
    return folder


def archive(folder: Path) -> Path:
    """An archive of three packages: plain files, a zip inside, and everything that is to be dropped or reported."""
    speech = {f"voice/{i}.wav": encoded(sound(i)) for i in range(3)}
    music = {"a.zip": zipped({f"music/{i}.flac": encoded(sound(10 + i, 2.0), form="FLAC") for i in range(2)})}
    various = {
        "again.wav": encoded(sound(0)),
        "short.wav": encoded(sound(5, 0.03)),
        "silent.wav": encoded(np.zeros(9000)),
        "broken.ogg": b"OggS and no more",
        "broken.zip": zipped(music)[:-9],
        "effect.ogg": encoded(sound(20, 1.0, 44100), 44100, "OGG"),
    }
    names = {"speech": (speech, ".xz"), "music": (music, ".gz"), "various": (various, "")}
    return mirror(folder, {name: sounds_deb(name, sounds, suffix) for name, (sounds, suffix) in names.items()})


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def run(*words: object) -> Result:
    return CliRunner().invoke(corpus.main, [str(word) for word in words])


def packed(folder: Path) -> Pack:
    result = CliRunner().invoke(pack.main, [str(folder)])
    assert result.exit_code == 0, result.output
    return Pack.open(folder)


def manifest(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def corpus_json(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "corpus.json").read_text())


class Server:
    """What was asked for, and whose requests wait for ``go``."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.stalling = ""
        self.stalled, self.go = threading.Event(), threading.Event()
        self.url = ""


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """The archive over HTTP, on this machine."""
    state = Server()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked[self.path.rsplit("/", 1)[-1]] += 1
            if state.stalling and state.stalling in self.path:
                state.stalled.set()
                state.go.wait(60)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        state.go.set()
        server.shutdown()
        server.server_close()


def _gzip(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data)


def _bzip2(data: bytes) -> bytes:
    import bz2

    return bz2.compress(data)


def _zstd(data: bytes) -> bytes:
    """One raw, uncompressed Zstandard frame a 64 KiB block, which needs no library to write."""
    frame = b"\x28\xb5\x2f\xfd" + b"\xa0" + len(data).to_bytes(4, "little")
    blocks = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    for index, block in enumerate(blocks):
        frame += (len(block) << 3 | (index == len(blocks) - 1)).to_bytes(3, "little") + block
    return frame
