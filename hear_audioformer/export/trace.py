"""A graph -> torch's exported program -> ONNX."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram


class Traceable(nn.Module):
    """A graph that can be traced.

    Attributes:
        window: samples of its longest window.
    """

    window: int


NEEDED = ("onnx", "onnxscript", "onnxruntime")  # setup.py: extra "export"
OLDEST = (2, 13)  # the oldest torch with which the exported files were compared with the package
OPSET = 20


def require(*modules: str) -> None:
    """Refuses in one line when a package is missing or torch is too old."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST:
        raise ValueError(
            f"export needs torch {OLDEST[0]}.{OLDEST[1]} or later, this is {torch.__version__}: pip install -U torch"
        )
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"export needs {', '.join(missing)}: pip install 'hear_audioformer[export]'")


def traced(graph: "Traceable", samples: int | None = None) -> ExportedProgram:
    """The program of a graph for any batch, and any length unless it is given."""
    length: Any = Dim.STATIC if samples else Dim.DYNAMIC
    example = 0.1 * torch.randn(2, samples or graph.window + 1)
    with torch.no_grad():
        return torch.export.export(
            graph.eval(), (example,), dynamic_shapes=({0: Dim.DYNAMIC, 1: length},), strict=False
        )


def to_onnx(program: ExportedProgram, outputs: tuple[str, ...], metadata: dict[str, str], samples: int | None) -> Any:
    """An ``onnx_ir`` program with named input, outputs, free axes and metadata."""
    from onnx_ir import Shape

    with quiet():
        converted = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
    assert converted is not None
    model = converted.model
    taken = {"audio", *outputs}
    for value in (value for node in model.graph for value in node.outputs if value.name in taken):
        value.name = f"inner_{value.name}"
    [audio] = model.graph.inputs
    audio.name, audio.shape = "audio", Shape(["batch", samples or "samples"])
    for value, name in zip(model.graph.outputs, outputs, strict=True):
        value.name = name
    model.metadata_props.update(metadata)
    return converted


def run_onnx(path: str, audio: Tensor) -> list[Tensor]:
    """Outputs of an ONNX file on the CPU, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(output) for output in session.run(None, {"audio": audio.numpy()})]


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch's notes off the screen: packages it does not find, such as torchvision, and sizes it dropped."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch._export.serde.serialize")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
