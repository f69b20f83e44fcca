"""Writes a model as one file, compares it with the package, and only then lets it appear."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import __version__, checkpoint, weights
from ..embedder import Embedder
from ..files import atomic_write
from .graph import Graph
from .trace import NEEDED, quiet, require, run_onnx, to_onnx, traced

FORMATS = (".onnx", ".pt2")
METADATA = "model.json"  # name of the extra file in a .pt2
TOLERANCE = 1e-4  # of the largest difference from the package


def write(
    source: str | Path,
    out: Path,
    *,
    timestamps: bool = False,
    seconds: float | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, str]:
    """Exports a model and returns the metadata that the file holds.

    Args:
        source: a name, a path or an ``hf://`` address.
        out: ``NAME.onnx`` or ``NAME.pt2``.
        timestamps: whether it gives frames and timestamps instead of scene embeddings.
        seconds: a fixed length of the clips; by default any length.
        options: those of ``load_model``.
    """
    if out.suffix not in FORMATS:
        raise ValueError(f"{out}: the name must end in {' or '.join(FORMATS)}")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; choose another name, or pass --overwrite")
    require(*(NEEDED if out.suffix == ".onnx" else ()))
    path = weights.resolve(source)
    embedder = weights.open_model(path, **options, precision="fp32")
    if not isinstance(embedder, Embedder):
        raise ValueError(
            f"{source} is a fusion, which is not exported: export a model of one encoder, such as msm-mae-tiny"
        )
    samples = None if seconds is None else round(seconds * embedder.sample_rate)
    if samples is not None and samples < 1:
        raise ValueError(f"--seconds {seconds}: a clip has at least one sample")
    metadata = facts(embedder, str(source) or path.stem, path, timestamps, samples)
    program = traced(Graph(embedder, timestamps), samples)
    with atomic_write(out) as temporary:
        if out.suffix == ".onnx":
            names = ("frames", "timestamps") if timestamps else ("embedding",)
            to_onnx(program, names, metadata, samples).save(str(temporary), external_data=False)
        else:
            with open(temporary, "wb") as file:
                torch.export.save(program, file, extra_files={METADATA: json.dumps(metadata)})
        _compare(embedder, temporary, out.suffix, timestamps, samples)
    return metadata


def facts(embedder: Embedder, name: str, path: Path, timestamps: bool, samples: int | None) -> dict[str, str]:
    """What the file says of itself; ONNX holds texts only."""
    header = checkpoint.read_header(path)
    encoder = embedder.encoder
    described: dict[str, Any] = {
        "model": name,
        "method": header.method,
        "sha256": checkpoint.sha256(path),  # of the weight file
        "licence": header.licence,
        "version": __version__,
        "sample_rate": embedder.sample_rate,
        "samples": samples or "any",
        "window_samples": encoder.window,
        "layers": " ".join(map(str, embedder.layers)),
    }
    if timestamps:
        described |= {"output": "timestamps", "embedding_size": embedder.timestamp_embedding_size}
        described |= {"hop_ms": f"{embedder.hop_ms:g}"}
    else:
        described |= {"output": "scene", "embedding_size": embedder.scene_embedding_size, "pool": embedder.pool}
    return {key: str(value) for key, value in described.items()}


def expected(embedder: Embedder, audio: Tensor, timestamps: bool) -> list[Tensor]:
    """What the package itself says."""
    return list(embedder.timestamps(audio)) if timestamps else [embedder.scene(audio)]


def _compare(embedder: Embedder, path: Path, suffix: str, timestamps: bool, samples: int | None) -> None:
    """Refuses a file that disagrees with the package, on noise in a batch other than the traced one."""
    generator = torch.Generator().manual_seed(0)
    for length in (samples,) if samples else (embedder.sample_rate // 3, embedder.encoder.window * 5 // 4):
        audio = 0.1 * torch.randn(1, length, generator=generator)
        if suffix == ".onnx":
            found = run_onnx(str(path), audio)
        else:
            with open(path, "rb") as file, torch.no_grad(), quiet():
                outputs = torch.export.load(file).module()(audio)
            found = list(outputs) if timestamps else [outputs]
        for ours, theirs in zip(expected(embedder, audio, timestamps), found, strict=True):
            difference = float((ours - theirs).abs().max())
            if not difference <= TOLERANCE:
                raise ValueError(
                    f"the exported model differs from the package by {difference:.1e}; nothing was written"
                )
