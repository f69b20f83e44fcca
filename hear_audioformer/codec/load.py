"""A codec by name: our own weight files, a local EnCodec checkpoint in transformers' names, or the one on the Hub."""

from pathlib import Path

from .. import checkpoint, weights
from ..checkpoint import WeightsError
from . import Codec

ENCODEC = "encodec_24khz"
HUB = "hf://facebook/encodec_24khz@main/model.safetensors"


def load(source: str | Path) -> tuple[Codec, str]:
    """A codec, and the id that checkpoints of models keep of it.

    Args:
        source: a codec known by name, a weight file of this package, a checkpoint of transformers' ``EncodecModel``
            (a file, or the folder that holds ``model.safetensors``), or "encodec_24khz" for the published one.
    """
    path = Path(source)
    if str(source) == ENCODEC and not path.exists():
        return _from_transformers(_published()), ENCODEC
    if path.is_dir():
        return _from_transformers(path / "model.safetensors"), ENCODEC
    if path.is_file() and not _ours(path):
        return _from_transformers(path), ENCODEC
    codec, header = weights.load_network(source)
    if not isinstance(codec, Codec):
        raise WeightsError(f"{source} holds a model of method {header.method}, not a codec")
    return codec, str(header.provenance.get("name", path.stem))


def _published() -> Path:
    try:
        return weights.resolve(HUB)
    except WeightsError as error:
        raise WeightsError(
            f"the codec {ENCODEC} could not be had ({error}); pass a local copy of facebook/encodec_24khz, or use a "
            "codec of this package, which needs no network"
        ) from error


def _ours(path: Path) -> bool:
    try:
        checkpoint.read_header(path)
    except WeightsError:
        return False
    return True


def _from_transformers(path: Path) -> Codec:
    from .encodec import read

    return read(path)
