"""State dicts from published checkpoint files, which are opened without running code of theirs."""

import argparse
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .checkpoint import WeightsError

WRAPPERS = ("model", "state_dict", "model_state_dict")


def read_state_dict(path: str | Path, networks: Sequence[str] = ()) -> dict[str, Tensor]:
    """The state dict of a checkpoint file, without the dictionary of the training script around it.

    If the file holds networks of the given names, these names become prefixes of their tensors' names.
    """
    content = _load(Path(path))
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    inner = {network: content[network] for network in networks if isinstance(content.get(network), Mapping)}
    if inner:
        content = {f"{network}.{name}": value for network, part in inner.items() for name, value in part.items()}
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors, only {', '.join(map(str, list(content)[:8])) or 'nothing'}")
    return tensors


def _load(path: Path) -> Mapping:
    if path.suffix == ".safetensors":
        try:
            return load_file(str(path))
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a complete safetensors file: {error}") from error
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 10):
        raise WeightsError(
            f"opening a pickled checkpoint needs torch 2.10 or later, this is {torch.__version__}: before it "
            "weights_only does not protect against a crafted file (CVE-2026-24747)"
        )
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # authors save their command lines too
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        lines = [line.strip() for line in str(error).splitlines() if "Unpickler error" in line]
        reason = lines[0].split("Unpickler error: ")[-1].split(". ")[0] if lines else "the unpickler refused it"
        raise WeightsError(f"{path} holds more than tensors and plain values, and is not opened: {reason}") from error
    except Exception as error:  # bytes that are no pickle may cause any error
        informative = isinstance(error, (RuntimeError, EOFError, OSError, ValueError))
        reason = f": {error}".partition("\n")[0] if informative else ""
        raise WeightsError(f"{path} is damaged, truncated or not a checkpoint{reason}") from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    return content
