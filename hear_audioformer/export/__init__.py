"""Models as files for other runtimes: ``.onnx`` for ONNX Runtime, ``.pt2`` for ``torch.export.load``.

A file takes waveforms at the model's rate and gives embeddings. It contains the front end, cuts clips into windows and
pools them, so that its user needs nothing of this package. ``docs/export.md`` says how to use one.
"""

from .model_file import FORMATS, write

__all__ = ["FORMATS", "write"]
