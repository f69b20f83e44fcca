"""The Ray engine on a local cluster of two worker processes, one of which is killed half way."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from pyarrow import parquet

from hear_audioformer.bulk.run import embed_files
from tests.bulk.conftest import write_recordings

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")


def workers() -> list[int]:
    """Processes of actors."""
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [
        int(line.split()[0]) for line in listing.splitlines() if "ray::MapWorker" in line or "ray::_MapWorker" in line
    ]


def test_ray_gives_the_rows_of_the_local_engine(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, although a worker is killed."""
    monkeypatch.setattr("hear_audioformer.bulk.ray.PORTION_FILES", 32)
    recordings = write_recordings(tmp_path / "in", 300, 2.0)
    out, killed = tmp_path / "ray", []

    def kill() -> None:
        while len(list(out.glob("part-*"))) < 2:
            time.sleep(0.02)
        for pid in workers()[:1]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    summary = embed_files(recordings, out, model, engine="ray", workers=2, progress=False)
    killer.join(10)
    assert killed
    assert (summary.rows, summary.missing) == (300, 0)
    embed_files(recordings, tmp_path / "local", model, workers=1, progress=False)
    assert parquet.read_table(out).equals(parquet.read_table(tmp_path / "local"))
