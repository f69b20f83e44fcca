"""MSM-MAE's sizes, shapes and refusals: what the golden file, which holds one small model, cannot show."""

import pytest
import torch

from hear_audioformer.embedder import Embedder
from hear_audioformer.features import LogMel
from hear_audioformer.msm_mae import SIZES, Config, MsmMae, build
from tests.oracles import torchaudio_transforms


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: str) -> None:
    """Values of the authors' layout: ours less the key biases (always zero there) plus the table with its CLS row."""
    with torch.device("meta"):
        encoder = MsmMae(Config.of_size(size, frames=512))
    width, depth = encoder.config.width, encoder.config.depth
    rows, columns = encoder.config.grid
    table = (rows * columns + 1) * width
    ours = sum(parameter.numel() for parameter in encoder.parameters())
    block = 12 * width**2 + (2 + 1 + 4 + 1) * width + 4 * width
    values = ours - depth * width + table
    assert values == depth * block + 256 * width + width + width + 2 * width + table
    assert size != "base" or values == 85_368_576  # the published encoder, position table included


@pytest.mark.parametrize(
    ("frames", "patch", "dim", "hop_ms"),
    [
        (208, (16, 16), 3840, 40),
        (304, (16, 16), 3840, 40),
        (208, (16, 8), 3840, 40),
        (208, (16, 4), 3840, 40),
        (208, (8, 16), 7680, 40),
        (208, (80, 4), 768, 40),
        (208, (80, 2), 768, 20),
        (208, (8, 8), 7680, 40),
    ],
)
def test_any_window_and_patch(frames: int, patch: tuple[int, int], dim: int, hop_ms: float) -> None:
    """The table of section 3: frame widths and steps at width 768."""
    with torch.device("meta"):
        model = Embedder(MsmMae(Config(frames=frames, patch=patch, depth=1)))
        out = model.encoder(torch.zeros(2, 16000, device="meta"))
    assert model.timestamp_embedding_size == dim
    assert model.hop_ms == hop_ms
    assert out.shape == (2, -(-101 // patch[1]), dim)
    small = Embedder(MsmMae(Config(width=12, heads=2, depth=1, frames=frames, patch=patch)))
    embeddings, times = small.timestamps(torch.rand(2, 50001) - 0.5)
    assert embeddings.shape == (2, times.shape[1], dim // 64)
    assert torch.isfinite(embeddings).all()


@pytest.mark.parametrize("sample_rate", [16000, 32000])
def test_log_mel_is_that_of_a_library(sample_rate: int) -> None:
    """M2D's 32-kHz models scale the STFT with the rate and keep the rest; torchaudio is the reference here."""
    reference = torchaudio_transforms().MelSpectrogram(
        sample_rate,
        n_fft=sample_rate // 40,
        hop_length=sample_rate // 100,
        f_min=50,
        f_max=sample_rate / 2,
        n_mels=80,
        power=2,
        norm="slaney",
        mel_scale="slaney",
    )
    audio = 0.1 * torch.randn(2, 2 * sample_rate, generator=torch.Generator().manual_seed(0))
    wanted = torch.log(reference(audio) + torch.finfo(torch.float32).eps).mT
    assert (LogMel(sample_rate)(audio) - wanted).abs().max() < 5e-4


def test_a_32_khz_model_runs() -> None:
    model = Embedder(MsmMae(Config(width=12, heads=2, depth=1, frames=96, sample_rate=32000)))
    _, times = model.timestamps(torch.zeros(1, 32000))
    assert model.sample_rate == 32000
    assert times[0, :2].tolist() == [35.0, 75.0]


def test_normalisation_as_a_pair() -> None:
    audio = 0.1 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    encoder = build({"width": 12, "heads": 2, "depth": 1, "normalisation": [-5.0, 3.0]})
    assert (encoder.config.mean, encoder.config.std) == (-5.0, 3.0)
    features = encoder.features(audio, 0, 101)
    assert torch.allclose(features * 3.0 - 5.0, encoder.front(audio), atol=1e-5)


def test_batch_normalisation_of_silence_is_finite() -> None:
    """The authors' code gives NaN here."""
    encoder = build({"width": 12, "heads": 2, "depth": 1, "normalisation": "batch"})
    for seconds in (0.5, 1, 20):
        assert torch.isfinite(Embedder(encoder).scene(torch.zeros(2, int(16000 * seconds)))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 200}, "frames=200 is not a multiple of the patch's 16"),
        ({"bands": 70}, "bands=70 is not a multiple of the patch's 16"),
        ({"normalisation": "clip"}, 'choose "fixed", "batch" or a pair'),
        ({"short": "mask"}, "is not one of crop, pad"),
        ({"std": 0.0}, "std must be positive"),
        ({"width": 66, "heads": 6}, "divisible by 4"),
        ({"heads": 7}, "cannot be split into 7 heads"),
    ],
)
def test_impossible_configurations_say_why(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build({"width": 48, "heads": 4, "depth": 1, **options})


def test_more_than_a_window_does_not_fit_the_encoder() -> None:
    with pytest.raises(ValueError, match="112 frames do not fit into a window of 96"):
        MsmMae(Config(width=12, heads=2, depth=1, frames=96))(torch.zeros(1, 16100))
