"""The codec against transformers' EnCodec: every layer that the golden file holds, latents, codes, quantised vectors.

The file names its own sizes, cases and bandwidths; $GOLDENS may name a folder with another one of the same layout.
"""

import re

import pytest
import torch
from torch import Tensor

from hear_audioformer.codec import Codec
from hear_audioformer.codec.encodec import convert
from tests.golden_file import GoldenFile

GOLDEN = GoldenFile("encodec_tiny")
CONFIG, close = GOLDEN.config, GOLDEN.close
STATE = GOLDEN.under("param/")
CASES = sorted(name.removesuffix("_wave") for name in GOLDEN.names if name.endswith("_wave"))
LAYERS = sorted(name for name in GOLDEN.names if re.search(r"_encoder_layer\d+$", name))
BANDWIDTHS = list(zip(CONFIG["bandwidths"], CONFIG["codebooks_per_bandwidth"], strict=True))
TIES = CONFIG["smallest_relative_distance_margin"] <= 1e-5  # whether a rounding error may turn a code


def same(codes: Tensor, wanted: Tensor) -> bool:
    """Whether codes (batch, codebooks, frames) are equal, but for one frame in a hundred where there are near ties."""
    turned = (codes != wanted).any(1)
    return int(turned.sum()) <= (max(1, turned.numel() // 100) if TIES else 0)


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same state as transformers wrote it before version 5."""
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    return {re.sub("|".join(map(re.escape, old)), lambda m: old[m[0]], name): tensor for name, tensor in state.items()}


@pytest.fixture(scope="module", params=["new", "old"])
def codec(request: pytest.FixtureRequest) -> Codec:
    state = STATE if request.param == "new" else old_names(STATE)
    return convert(state, sample_rate=CONFIG["sampling_rate"])[0]


def test_the_shapes_tell_the_configuration(codec: Codec) -> None:
    config, stated = codec.config, CONFIG["encodec"]
    assert (config.filters, config.latent) == (stated["num_filters"], stated["hidden_size"])
    assert (config.codebooks, config.codes) == (CONFIG["num_quantizers"], stated["codebook_size"])
    assert (config.hop, config.sample_rate) == (CONFIG["hop"], CONFIG["sampling_rate"])
    assert abs(config.sample_rate / config.hop - CONFIG["frame_rate"]) < 1  # transformers rounds it up


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_encoder_output(codec: Codec, case: str) -> None:
    close(codec.encoder(GOLDEN[f"{case}_wave"]), f"{case}_encoder_out", 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", LAYERS)
def test_single_layers(codec: Codec, name: str) -> None:
    case, last = re.fullmatch(r"(.+)_encoder_layer(\d+)", name).groups()  # type: ignore[union-attr]
    x = GOLDEN[f"{case}_wave"]
    for layer in codec.encoder.layers[: int(last) + 1]:
        x = layer(x)
    close(x, name, 1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("bandwidth", "count"), BANDWIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_codes_and_what_they_stand_for(codec: Codec, case: str, bandwidth: float, count: int) -> None:
    """Equal codes where the file's smallest margin between two distances is far above rounding errors."""
    codes = codec.quantizer.encode(codec.encoder(GOLDEN[f"{case}_wave"]), count)
    wanted = GOLDEN[f"{case}_bw{bandwidth}_codes"]
    assert codes.shape == wanted.shape
    assert same(codes, wanted)
    close(codec.quantizer.decode(wanted), f"{case}_bw{bandwidth}_quantised", 1e-4)


@pytest.mark.parametrize(("bandwidth", "count"), BANDWIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_codes_of_whole_frames_from_the_waveform(codec: Codec, case: str, bandwidth: float, count: int) -> None:
    """Of a clip that ends within a frame, silence instead of a mirror image fills the last one: all others agree.

    A clip of so few frames that the last layer mirrors the last one before the first has none that must.
    """
    wave = GOLDEN[f"{case}_wave"][:, 0]
    whole, rest = divmod(wave.shape[1], codec.hop)
    codes, wanted = codec(wave, count), GOLDEN[f"{case}_bw{bandwidth}_codes"]
    assert codes.shape == wanted.shape
    mirrored = codec.encoder.layers[-1].left  # type: ignore[union-attr]
    if whole > mirrored or not rest:
        assert same(codes[..., :whole], wanted[..., :whole])
