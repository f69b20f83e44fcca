"""ASiT's sizes, options and refusals: what the golden file, which holds one small model, cannot show."""

import pytest
import torch
from torch import Tensor

from hear_audioformer.asit import SIZES, Asit, Config, build
from hear_audioformer.embedder import Embedder

SMALL = {"width": 24, "depth": 2, "heads": 2, "frames": 96}
PUBLISHED = {"small": 21_507_456, "base": 85_482_240}  # parameters of the authors' backbones


def small(**changes: object) -> Asit:
    torch.manual_seed(0)
    encoder = build({**SMALL, **changes}).eval()
    torch.nn.init.normal_(encoder.cls)
    torch.nn.init.normal_(encoder.positions)
    return encoder


def noise(clips: int, seconds: float, rate: int = 16000) -> Tensor:
    return 0.1 * torch.randn(clips, int(seconds * rate), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: str) -> None:
    with torch.device("meta"):
        encoder = Asit(Config.of_size(size))
    width, depth = encoder.config.width, encoder.config.depth
    block = 12 * width**2 + 13 * width
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    assert parameters == depth * block + (256 + 1) * width + (1 + 297) * width + 2 * width
    assert parameters == PUBLISHED.get(size, parameters)
    assert encoder.window == 94720


def test_timestamps_begin_half_a_patch_before_the_clip() -> None:
    """Column j starts at frame 16 j and is centred 87.5 ms later; the first pass begins 80 ms before the clip."""
    model = Embedder(small())
    _, times = model.timestamps(noise(1, 1.0))
    assert times[0, :3].tolist() == [7.5, 47.5, 87.5]
    assert model.hop_ms == 40
    at_32_khz = Embedder(small(sample_rate=32000))
    assert at_32_khz.timestamps(noise(1, 1.0, 32000))[1][0, :3].tolist() == [7.5, 47.5, 87.5]


@pytest.mark.parametrize(
    ("pool", "width"), [("cls", 1), ("mean", 1), ("cls+mean", 2), ("freq_concat", 8), ("mean+std", 2), (None, 2)]
)
def test_every_way_of_pooling_has_its_size(pool: str | None, width: int) -> None:
    model = Embedder(small(), pool=pool, layers=[1, 2])
    assert model.scene_embedding_size == 2 * 24 * width
    assert model.scene(noise(2, 1.3)).shape == (2, model.scene_embedding_size)
    assert model.timestamp_embedding_size == 2 * 24


def test_windows_count_by_their_length() -> None:
    """A clip of one and a half windows: the class tokens of both, two to one; all patches alike."""
    encoder, audio = small(), noise(2, 1.5)
    features = encoder.features(audio, 0, encoder.count(24000))
    columns = -(-features.shape[1] // 16)
    with torch.no_grad():
        parts = [encoder.run(encoder.tokens(part), [2])[0] for part in features.split(96, dim=1)]
    wanted = sum((part.shape[1] - 1) / 8 * part[:, 0] for part in parts) / columns
    assert (Embedder(encoder, pool="cls").scene(audio) - wanted).abs().max() < 1e-5
    patches = torch.cat([part[:, 1:] for part in parts], dim=1).mean(1)
    assert (Embedder(encoder, pool="cls+mean").scene(audio)[:, 24:] - patches).abs().max() < 1e-5


def test_columns_may_be_concatenated() -> None:
    mean, concat = Embedder(small()), Embedder(small(column="concat"))
    audio = noise(2, 2.1)
    assert concat.timestamp_embedding_size == 8 * 24
    assert concat.scene_embedding_size == mean.scene_embedding_size
    (found, times), (wanted, wanted_times) = concat.timestamps(audio), mean.timestamps(audio)
    assert torch.equal(times, wanted_times)
    assert (found.unflatten(2, (8, 24)).mean(2) - wanted).abs().max() < 1e-5
    assert Embedder(small(column="concat"), pool="mean+std").scene_embedding_size == 2 * 8 * 24


def test_a_constant_offset_does_not_matter() -> None:
    model, audio = Embedder(small()), noise(2, 2.0)
    assert (model.scene(audio + 0.25) - model.scene(audio)).abs().max() < 1e-3


def test_the_mean_is_that_of_the_whole_clip() -> None:
    """Of clips much longer than what is summed at a time as well, and whatever the others of the batch are."""
    encoder, audio = small(), noise(3, 30.0)
    audio[:, :200000] += 0.5
    found = encoder.clip_context(audio)
    assert found is not None
    assert (found[:, 0] - audio.double().mean(1)).abs().max() < 1e-7
    for clip in range(3):
        assert torch.equal(encoder.clip_context(audio[clip : clip + 1]), found[clip : clip + 1])  # type: ignore[arg-type]
    late = encoder.features(audio, 2500, 2510, found)
    assert torch.equal(late, encoder.features(audio, 0, encoder.count(480000))[:, 2500:2510])


def test_what_is_missing_is_silence() -> None:
    """A clip shorter than a patch equals the same frames with the filter bank's floor behind them."""
    encoder, audio = small(), noise(1, 0.1)
    features = encoder.features(audio, 0, encoder.count(1600))
    full = torch.nn.functional.pad(features, (0, 0, 0, 16 - features.shape[1]), value=encoder.silence)
    assert encoder.silence == pytest.approx(-1.2776, abs=1e-4)
    assert float(encoder.features(torch.zeros(1, 1600), 0, 8).unique()) == pytest.approx(encoder.silence)
    with torch.no_grad():
        wanted = encoder.encode(full)
        assert torch.equal(encoder.encode(features), wanted)
    assert (Embedder(encoder).frames(audio) - wanted).abs().max() < 1e-6


def test_frames_beyond_a_crop_are_rows_of_zeros() -> None:
    """As the authors fill up a crop shorter than the window: zeros before normalisation, louder than silence."""
    encoder, audio = small(), noise(2, 0.5)
    there = encoder.count(8000)
    found = encoder.features(audio, 0, 96)
    assert found.shape == (2, 96, 128)
    assert torch.equal(found[:, :there], encoder.features(audio, 0, there))
    assert float(found[:, there:].unique()) == pytest.approx(0.4670, abs=1e-4)
    assert torch.equal(encoder.features(audio, 40, 50, encoder.clip_context(audio)), found[:, 40:50])


def test_positions_of_other_lengths() -> None:
    crop, stretch = small(), small(positions="stretch")
    table = crop.positions
    assert torch.equal(crop.table(4, "crop"), table[: 1 + 4 * 8])
    assert torch.equal(stretch.table(6, "stretch"), table)
    assert torch.equal(stretch.table(9, "stretch")[0], table[0])
    audio = noise(1, 0.5)
    assert not torch.allclose(Embedder(crop).scene(audio), Embedder(stretch).scene(audio), atol=1e-3)
    full = noise(1, 0.97)  # one whole window
    assert torch.equal(Embedder(crop).scene(full), Embedder(stretch).scene(full))


def test_a_longer_window_sees_a_clip_at_once() -> None:
    encoder = small(positions="stretch", window=192)
    assert encoder.geometry.columns == 12
    audio = noise(1, 1.9)
    features = encoder.features(audio, 0, encoder.count(30400))
    with torch.no_grad():
        wanted = encoder.run(encoder.tokens(features), [2])[0][:, 0]
    assert (Embedder(encoder, pool="cls").scene(audio) - wanted).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 100}, "frames=100 is not a multiple of the patch's 16"),
        ({"bands": 120}, "bands=120 is not a multiple"),
        ({"window": 100}, "window=100 is not a multiple"),
        ({"window": 192}, 'window=192 with positions for 96 frames: pass positions="stretch"'),
        ({"positions": "resize"}, "positions='resize' is not one of crop, stretch"),
        ({"column": "max"}, "column='max' is not one of mean, concat"),
        ({"pool": "max"}, "pool='max' is not one of mean, mean.std, cls, cls.mean, freq_concat"),
        ({"std": 0.0}, "std must be positive"),
        ({"heads": 5}, "cannot be split into 5 heads"),
    ],
)
def test_impossible_configurations_say_why(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_more_than_a_window_does_not_fit_the_encoder() -> None:
    with pytest.raises(ValueError, match=r"112 frames do not fit into a window of 96; positions=.stretch. lets them"):
        small()(noise(1, 1.1))
