"""Published checkpoints -> our weight files. The only place of the package that opens a pickle.

    encoder = from_upstream("msm-mae", state_dict)
    convert_file("msm-mae", "80x512p16x16_paper/checkpoint-100.pth", "msm-mae-paper.safetensors")

Each method's rules have a file of their own: the authors' names, what follows from the shapes, and what does not.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from .. import checkpoint
from ..checkpoint import Header, WeightsError
from ..encoder import Network
from ..pickles import read_state_dict

METHODS = {"msm-mae": "msm_mae", "asit": "asit", "audioformer": "audioformer", "codec": "codec"}  # -> its module here


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion, and notes on what was assumed or left out."""

    encoder: Network
    notes: list[str]
    source_sha256: str
    sha256: str


def from_upstream(method: str, state_dict: Mapping[str, Tensor], **hints: Any) -> Network:
    """The encoder of an authors' state dict; ``hints`` are what its shapes do not give (see the method's rules)."""
    return _checked(_rules(method), hints)(state_dict, **hints)[0]


def convert_file(
    method: str,
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    licence: str = "see the source of the checkpoint",
    **hints: Any,
) -> Conversion:
    """Converts a published file and writes a weight file; the folder's name is a hint, as the authors use it.

    Of a method with one file a codebook, several files make one model; "0.", "1.", ... are the prefixes of their names.
    """
    rules = _rules(method)
    sources = [Path(one) for one in ([source] if isinstance(source, (str, Path)) else source)]
    if len(sources) > 1 and not getattr(rules, "FILE_PER_CODEBOOK", False):
        raise WeightsError(f"a model of method {method} comes in one file, {len(sources)} were given")
    digests = [checkpoint.sha256(_existing(one)) for one in sources]
    states = [read_state_dict(one, getattr(rules, "NETWORKS", ())) for one in sources]
    state = states[0]
    if len(states) > 1:
        state = {f"{k}.{name}": tensor for k, one in enumerate(states) for name, tensor in one.items()}
    encoder, notes = _checked(rules, hints)(state, name=sources[0].resolve().parent.name, **hints)
    checkpoint.refuse_unsound(encoder, ", ".join(map(str, sources)))
    config, normalisation = checkpoint.apart(asdict(encoder.config))
    names, source_sha256 = ", ".join(one.name for one in sources), ", ".join(digests)
    provenance = {"converted_from": names, "source_sha256": source_sha256, "notes": notes}
    header = Header(method, config, normalisation, provenance, licence)
    return Conversion(encoder, notes, source_sha256, checkpoint.write(out, encoder.state_dict(), header))


def _checked(rules: ModuleType, hints: Mapping[str, Any]) -> Any:
    """A method's converter, if it takes these hints."""
    accepted = [name for name in inspect.signature(rules.convert).parameters if name not in ("state", "name")]
    if surplus := [name for name in hints if name not in accepted]:
        raise WeightsError(f"{', '.join(surplus)}: a hint of no use for this method, which takes {', '.join(accepted)}")
    return rules.convert


def _rules(method: str) -> ModuleType:
    if method not in METHODS:
        raise WeightsError(f"no converter for method {method!r}; there are {', '.join(METHODS)}")
    return importlib.import_module(f".{METHODS[method]}", __package__)


def _existing(source: str | Path) -> Path:
    path = Path(source)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    return path
