"""The local engine with real processes: kills, two runs at once, Ctrl-C, workers that die, a full disk."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from hear_audioformer.bulk.run import embed_files
from tests.bulk.conftest import write_recordings

ROOT = Path(__file__).parents[2]


def begin(inputs: Any, out: Path, model: Path, *options: str, **env: str) -> "subprocess.Popen[str]":
    """The command in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "hear_audioformer",
        "embed",
        *map(str, inputs),
        "-o",
        str(out),
        "--model",
        str(model),
    ]
    path = os.pathsep.join([*filter(None, [env.pop("PYTHONPATH", "")]), str(ROOT)])
    return subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **env},
    )


def waited(run: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = run.communicate(timeout=120)
    return run.returncode, out, err


def wait_for(condition: Any, run: "subprocess.Popen[str]") -> None:
    """Until something is there, or the run has ended."""
    while not condition() and run.poll() is None:
        time.sleep(0.01)


@pytest.fixture
def many(tmp_path: Path) -> list[Path]:
    """Ten tasks of recordings of some seconds, which keep a worker busy for a while."""
    return write_recordings(tmp_path / "many", 300, 2.0)


def parts(out: Path) -> list[Path]:
    return sorted(out.glob("part-*"))


def paths_of(out: Path) -> list[str]:
    return list(parquet.read_table(out, columns=["path"])["path"].to_pylist())


def test_two_processes_give_the_rows_of_one(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    code, out, _ = waited(begin(recordings, tmp_path / "two", model, "--workers", "2"))
    assert code == 0
    assert "40 of 40 files" in out
    code, _, _ = waited(begin(recordings, tmp_path / "one", model, "--workers", "1"))
    assert code == 0
    assert parquet.read_table(tmp_path / "two").equals(parquet.read_table(tmp_path / "one"))


def test_a_killed_run_loses_no_row_and_doubles_none(many: list[Path], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for kills in range(2):
        run = begin([tmp_path / "many"], out, model, "--workers", "2")
        wait_for(lambda kills=kills: len(parts(out)) > kills, run)
        run.kill()
        run.wait()
    code, _, err = waited(begin([tmp_path / "many"], out, model, "--workers", "2"))
    assert code == 0
    assert "are done already" in err
    assert paths_of(out) == list(map(str, many))
    assert not list((out / "_run" / "unfinished").iterdir())


def test_two_runs_at_once_are_one_and_a_refusal(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runs = [begin(recordings, out, model) for _ in range(2)]
    results = sorted(waited(run)[::2] for run in runs)
    assert [code for code, _ in results] == [0, 2]
    assert "another run is at work on it" in results[1][1] or "is complete" in results[1][1]
    assert paths_of(out) == list(map(str, recordings))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_at_once_and_goes_on(
    many: list[Path], model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Also with long files in flight."""
    long = write_recordings(tmp_path / "long", 6, 300.0)
    out = tmp_path / "out"
    run = begin([*long, tmp_path / "many"], out, model)
    wait_for(lambda: list((out / "_run" / "unfinished").glob("*")), run)
    begun = time.monotonic()
    run.send_signal(number)
    code, _, err = waited(run)
    assert time.monotonic() - begun < 10  # it takes less than 2 s where nothing else runs
    assert code == 130
    assert "the same command goes on" in err
    assert waited(begin([*long, tmp_path / "many"], out, model))[0] == 0
    assert len(paths_of(out)) == 306


DEADLY = """
import os, soundfile
init = soundfile.SoundFile.__init__
def dying(self, file, *args, **kwargs):
    if "0007" in os.fsdecode(file):
        os.kill(os.getpid(), 9)
    init(self, file, *args, **kwargs)
soundfile.SoundFile.__init__ = dying
"""


def test_a_file_that_kills_its_worker_is_an_error(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    """As a decoder's fault would, or a file that takes all memory."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEADLY)
    code, out, err = waited(begin(recordings, tmp_path / "out", model, PYTHONPATH=str(tmp_path / "site")))
    assert code == 1
    assert "39 of 40 files" in out
    assert "0007.flac: the process died at this file" in err
    assert len(paths_of(tmp_path / "out")) == 39


WITHOUT_PYARROW = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError("No module named 'pyarrow'", name=name)
sys.meta_path.insert(0, Hidden())
"""


def test_npz_needs_no_pyarrow(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_PYARROW)
    site = str(tmp_path / "site")
    assert waited(begin(recordings[:3], tmp_path / "out.npz", model, PYTHONPATH=site))[0] == 0
    code, _, err = waited(begin(recordings[:3], tmp_path / "out", model, PYTHONPATH=site))
    assert code == 2
    assert "pip install 'hear_audioformer[parquet]', or write .npz" in err


def test_a_model_that_is_none_is_one_line(recordings: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_text("x")
    code, _, err = waited(begin(recordings, tmp_path / "out", tmp_path / "bad.safetensors"))
    assert code == 2
    assert err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_disk_that_is_full_at_last_is_one_line(recordings: list[Path], model: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk's."""
    import resource

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [
        sys.executable,
        "-m",
        "hear_audioformer",
        "embed",
        *map(str, recordings),
        "-o",
        str(tmp_path / "out.npz"),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [*command, "--model", str(model), "--timestamps"],
        capture_output=True,
        text=True,
        env=env,
        preexec_fn=limited,
        check=False,
    )
    assert run.returncode == 2
    assert "cannot write: File too large" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out.npz").exists()
    assert embed_files(recordings, tmp_path / "out.npz", model, timestamps=True, workers=0, progress=False).files == 40
