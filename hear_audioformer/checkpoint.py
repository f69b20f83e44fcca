"""The weight file: safetensors whose header describes the model.

The header's metadata holds one JSON: method, config, normalisation, provenance, licence, and a sha256 of all these and
of the tensor bytes, which ``read`` verifies. A weight file holds no pickle, so opening one runs no code.
"""

import hashlib
import io
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from .errors import WeightsError
from .files import atomic_write

KEY = "hear_audioformer"
NORMALISATION = ("mean", "std")  # the fields of a configuration that a header holds apart
FORMAT = 1


@dataclass(frozen=True)
class Header:
    """The description of the model in a weight file.

    Attributes:
        method: "msm-mae", ...
        config: the fields of the method's ``Config``, without normalisation constants.
        normalisation: those constants: {"mean": ..., "std": ...}.
        provenance: where the weights come from: recipe, corpus, steps, hours, hardware; or the converted file.
        licence: under which the weights may be used.
        sha256: of these fields and all tensor bytes, filled in by ``write``.
    """

    method: str
    config: dict[str, Any]
    normalisation: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    licence: str = "unknown"
    sha256: str = ""
    format: int = FORMAT


def apart(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """The two parts of a configuration in a header: its fields without normalisation constants, and the constants."""
    normalisation = {name: config[name] for name in NORMALISATION if name in config}
    return {name: value for name, value in config.items() if name not in normalisation}, normalisation


def write(path: str | Path, tensors: Mapping[str, Tensor], header: Header) -> str:
    """Writes a weight file in one atomic step and returns its sha256."""
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = replace(header, sha256=_seal(header, io.BytesIO(safetensors_torch.save(tensors))))
    with atomic_write(path) as temporary:
        safetensors_torch.save_file(tensors, temporary, {KEY: json.dumps(asdict(header))})
        os.chmod(temporary, 0o644)
    return sha256(path)


def read_header(path: str | Path) -> Header:
    """The header of a weight file, without its tensors."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is not a complete safetensors file ({error}); download or convert it again"
        ) from error
    if KEY not in metadata:
        raise WeightsError(
            f"{path} has no {KEY} header; `hear-audioformer convert` makes such a file of a published checkpoint"
        )
    try:
        fields = dict(json.loads(metadata[KEY]))
        if fields.get("format") != FORMAT:
            raise WeightsError(
                f"{path} has format {fields.get('format')}, this version reads {FORMAT}; upgrade the package"
            )
        header = Header(**fields)
        if not (isinstance(header.method, str) and isinstance(header.config, dict)):
            raise ValueError("method or config is of the wrong type")
        if not isinstance(header.normalisation, dict) or not isinstance(header.provenance, dict):
            raise ValueError("normalisation or provenance is of the wrong type")
        return header
    except (ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path} has a damaged {KEY} header ({error}); download or convert it again") from error


def read(path: str | Path) -> tuple[Header, dict[str, Tensor]]:
    """Header and tensors of a weight file, whose bytes are verified first."""
    header = read_header(path)
    with open(path, "rb") as file:
        digest = _seal(header, file)
    if digest != header.sha256:
        raise WeightsError(
            f"{path} is damaged: its content has sha256 {digest}, the header says {header.sha256}; "
            "delete it and download or convert it again"
        )
    return header, safetensors_torch.load_file(str(path))


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Loads tensors of any float type into a float32 module, strictly (``compare``); refuses NaN and infinity."""
    compare(module, tensors, source)
    module.load_state_dict(dict(tensors))
    refuse_unsound(module, source)


def refuse_unsound(module: nn.Module, source: str | Path) -> None:
    """Refuses weights that are NaN or infinite."""
    broken = [name for name, tensor in module.state_dict().items() if not _finite(tensor)]
    if broken:
        names = f"{', '.join(broken[:8])}{' ...' * (len(broken) > 8)}"
        raise WeightsError(f"{source} holds NaN or infinite weights in {names}; it is no trained model")


def compare(module: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuses tensors that differ in name, shape or kind from a module's, which may be on the meta device."""
    expected = module.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    surplus = sorted(tensors.keys() - expected.keys())
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    kinds = [
        f"{name} is {tensors[name].dtype}, expected {expected[name].dtype}"
        for name in expected
        if name in tensors and tensors[name].is_floating_point() != expected[name].is_floating_point()
    ]
    faults = [("missing", missing), ("not part of the model", surplus)]
    faults += [("of another shape", shapes), ("of another kind", kinds)]
    if missing or surplus or shapes or kinds:
        lines = [
            f"{len(names)} {what}: {', '.join(names[:8])}{' ...' * (len(names) > 8)}" for what, names in faults if names
        ]
        raise WeightsError(f"{source} does not fit the model that its config describes; parameters {'; '.join(lines)}")


def sha256(path: str | Path) -> str:
    """The hash of a whole file, in hex."""
    with open(path, "rb") as file:
        return _digest(file, b"")


def _finite(tensor: Tensor) -> bool:
    """Whether all of a tensor's values are finite; in one pass that allocates nothing of its size."""
    return not (tensor.is_floating_point() and tensor.numel()) or all(map(math.isfinite, map(float, tensor.aminmax())))


def _seal(header: Header, file: BinaryIO) -> str:
    """The sha256 of a header's fields and of the tensor bytes behind safetensors' own header in ``file``."""
    (length,) = struct.unpack("<Q", file.read(8))
    file.seek(8 + length)
    fields = {**asdict(header), "sha256": ""}
    return _digest(file, json.dumps(fields, sort_keys=True).encode())


def _digest(file: BinaryIO, start: bytes) -> str:
    digest = hashlib.sha256(start)
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
