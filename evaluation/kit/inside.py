"""Runs one of HEAR's own runners inside the kit's environment, with patches for versions since 2021.

    python -m evaluation.kit.inside embeddings|predictions ARGUMENTS OF THE RUNNER

The kit's files stay as released: the patches change modules in memory before the kit imports them.
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
    """Applies the patches, then runs the runner as ``__main__``."""
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return
    if sys.argv[1:2] not in ([part] for part in PARTS):
        raise SystemExit(f"usage: python -m evaluation.kit.inside {'|'.join(PARTS)} ARGUMENTS OF THE RUNNER")
    part = sys.argv.pop(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic cuBLAS needs it
    patch_tensorflow()
    if part == "predictions":
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # the kit's checkpoints hold functions
        patch_lightning()
    patch_device_name()
    runpy.run_module(f"heareval.{part}.runner", run_name="__main__", alter_sys=True)


def patch_tensorflow() -> None:
    """Adds a stub if TensorFlow is missing. The kit also stops if torch sees a GPU and TensorFlow does not."""
    if importlib.util.find_spec("tensorflow") is None:
        sys.path.append(str(STAND_IN))
    import tensorflow

    tensorflow.test.is_gpu_available = lambda *_, **__: True


def patch_lightning() -> None:
    """Makes ``fit_loop.current_epoch`` settable, by which the kit selects the post-processing of a test.

    Lightning 1.6 moved that number: the assignment had no effect, and event tasks failed with a KeyError.
    """
    loops: Any = importlib.import_module("pytorch_lightning.loops")  # not the version that a type checker finds

    def get(loop: Any) -> int:
        return int(loop.epoch_progress.current.completed)

    def put(loop: Any, epoch: int) -> None:
        loop.epoch_progress.current.completed = epoch

    loops.FitLoop.current_epoch = property(get, put)


def patch_device_name() -> None:
    """Replaces the lookup of the GPU's name: the kit decodes bytes, but pynvml returns a string."""
    import torch

    if torch.cuda.is_available():
        from heareval import gpu_max_mem

        gpu_max_mem.device_name = torch.cuda.get_device_name


if __name__ == "__main__":
    main()
