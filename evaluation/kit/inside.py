"""Runs inside the kit's environment: one of HEAR's own runners, after what has rotted since 2021 is set right.

    python -m evaluation.kit.inside embeddings|predictions ARGUMENTS OF THE RUNNER

Nothing of the kit is changed on disk; what it imports is changed in memory, before it does.
"""

import importlib
import importlib.util
import os
import runpy
import sys
from pathlib import Path
from typing import Any

STAND_IN = Path(__file__).with_name("stand_in")
PARTS = ("embeddings", "predictions")


def main() -> None:
    """The cures, then the runner as if it had been started by itself."""
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return
    if sys.argv[1:2] not in ([part] for part in PARTS):
        raise SystemExit(f"usage: python -m evaluation.kit.inside {'|'.join(PARTS)} ARGUMENTS OF THE RUNNER")
    part = sys.argv.pop(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # the kit's training is deterministic; cuBLAS asks this
    cure_tensorflow()
    if part == "predictions":
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # its own checkpoints hold functions
        cure_lightning()
    cure_device_name()
    runpy.run_module(f"heareval.{part}.runner", run_name="__main__", alter_sys=True)


def cure_tensorflow() -> None:
    """A stand-in where there is none. The kit also gives up where torch sees a GPU that a real one does not see."""
    if importlib.util.find_spec("tensorflow") is None:
        sys.path.append(str(STAND_IN))
    import tensorflow

    tensorflow.test.is_gpu_available = lambda *_, **__: True


def cure_lightning() -> None:
    """The kit sets the epoch whose post-processing a test shall use by ``fit_loop.current_epoch = epoch``; Lightning
    1.6 moved that number, so that the assignment had no effect and event tasks failed with a KeyError."""
    loops: Any = importlib.import_module("pytorch_lightning.loops")  # not the version that a type checker finds

    def get(loop: Any) -> int:
        return int(loop.epoch_progress.current.completed)

    def put(loop: Any, epoch: int) -> None:
        loop.epoch_progress.current.completed = epoch

    loops.FitLoop.current_epoch = property(get, put)


def cure_device_name() -> None:
    """The kit decodes the GPU's name from bytes; pynvml has been returning a string for years."""
    import torch

    if torch.cuda.is_available():
        from heareval import gpu_max_mem

        gpu_max_mem.device_name = torch.cuda.get_device_name


if __name__ == "__main__":
    main()
