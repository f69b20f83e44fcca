"""EnCodec's published weights, in transformers' names, new and old: the encoder and the codebooks, not the decoder.

A convolution is stored with weight normalisation, as a gain and a direction for each output channel; here it becomes
one plain weight. Widths, strides and tables follow from the shapes; the sampling rate does not.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoint import WeightsError
from ..pickles import read_state_dict
from . import ENCODEC_24KHZ, Codec, Config

PARTS = ("encoder.", "quantizer.")
TRAINING = ("embed_avg", "cluster_size", "inited")  # tensors of a codebook that only training needs
NORMALISED = {  # a stored weight: the names of its gain and its direction
    ".parametrizations.weight.original0": ".parametrizations.weight.original1",
    ".weight_g": ".weight_v",
}


def read(path: Path) -> Codec:
    """A codec from a file of transformers' ``EncodecModel``."""
    return convert(read_state_dict(path))[0]


def convert(
    state: Mapping[str, Tensor], *, name: str = "", sample_rate: int = ENCODEC_24KHZ.sample_rate
) -> tuple[Codec, list[str]]:
    """A codec from transformers' ``EncodecModel``, and notes on what was left out; ``name`` is not needed."""
    inside = {key: tensor.float() for key, tensor in state.items() if key.startswith(PARTS)}
    inside = {key: tensor for key, tensor in inside.items() if not key.endswith(TRAINING)}
    plain = fold(inside)
    codec = Codec(_config(plain, sample_rate))
    plain |= {"centre": codec.centre, "scale": codec.scale}
    expected = codec.state_dict()
    for key in sorted(expected.keys() ^ plain.keys()):
        where = "missing from the checkpoint" if key in expected else "not part of an EnCodec encoder"
        raise WeightsError(f"{key}: {where}")
    for key, tensor in expected.items():
        if plain[key].shape != tensor.shape:
            raise WeightsError(f"{key}: shape {tuple(plain[key].shape)} where {tuple(tensor.shape)} was expected")
    codec.load_state_dict(plain)
    rest = sum(not key.startswith(PARTS) for key in state)
    return codec.eval(), [f"left out {rest} tensors of the decoder"] if rest else []


def fold(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with weight normalisation folded into plain weights: gain * direction / its length."""
    folded = dict(state)
    for gain_name, direction_name in NORMALISED.items():
        for key in [key for key in state if key.endswith(gain_name)]:
            stem = key.removesuffix(gain_name)
            gain, direction = folded.pop(key), folded.pop(stem + direction_name, None)
            if direction is None:
                raise WeightsError(f"{stem}{direction_name}: missing from the checkpoint")
            folded[f"{stem}.weight"] = gain * direction / direction.norm(dim=(1, 2), keepdim=True)
    return folded


def _config(state: Mapping[str, Tensor], sample_rate: int) -> Config:
    """The configuration that follows from the shapes."""
    convolutions = _numbered(state, r"encoder\.layers\.(\d+)\.conv\.weight")
    codebooks = _numbered(state, r"quantizer\.layers\.(\d+)\.codebook\.embed")
    if len(convolutions) < 3 or not codebooks:
        raise WeightsError(f"not an EnCodec checkpoint in transformers' names: it has {', '.join(list(state)[:5])}")
    first, *strides, _ = convolutions.values()
    lstm = [key for key in state if re.fullmatch(r"encoder\.layers\.\d+\.lstm\.weight_ih_l\d+", key)]
    codes, latent = next(iter(codebooks.values())).shape
    return Config(
        sample_rate=sample_rate,
        filters=first.shape[0],
        ratios=tuple(weight.shape[2] // 2 for weight in strides),
        latent=latent,
        lstm=len(lstm),
        dilations=(),
        codebooks=len(codebooks),
        codes=codes,
    )


def _numbered(state: Mapping[str, Tensor], pattern: str) -> dict[int, Any]:
    """The tensors whose names fit, in the order of the number in them."""
    tensors = {int(match[1]): tensor for key, tensor in state.items() if (match := re.fullmatch(pattern, key))}
    return dict(sorted(tensors.items()))
