"""What a run does with its files: everything that a worker must know."""

from dataclasses import dataclass, field
from typing import Any

ENGINES = ("local", "ray")
DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class Job:
    """Model, options and place of a run; all fields can be written as JSON.

    Attributes:
        model: what ``load_model`` takes; the default model if empty.
        options: those of ``load_model``.
        device: of torch; None for CUDA where there is one, else the CPU.
        timestamps: whether each file gets a row for each frame, instead of one row.
        segment: seconds of a row's stretch of sound; None for one row a file.
        dtype: of the embeddings: float32 or float16.
        form: of the part files: parquet or npz.
        folder: for complete parts.
        temporary: for parts that are being written.
        facts: of the table, kept in each part: model, sha256, options, version.
    """

    model: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    device: str | None = None
    timestamps: bool = False
    segment: float | None = None
    dtype: str = "float32"
    form: str = "parquet"
    folder: str = ""
    temporary: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
