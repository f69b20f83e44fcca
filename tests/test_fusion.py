"""A fusion is its parts side by side: standardised, projected, on one grid, and never with other parts than its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import hear_audioformer
from hear_audioformer import checkpoint, fusion, weights
from hear_audioformer.checkpoint import WeightsError
from hear_audioformer.embedder import Embedder
from hear_audioformer.fusion import Composition, Config, Fusion, Part, movement, statistics
from hear_audioformer.fusion.composition import shares
from hear_audioformer.fusion.fusion import FRONTS
from hear_audioformer.fusion.statistics import Modulation
from hear_audioformer.fusion.waveform import Waveform
from hear_audioformer.model import interpolated
from tests.conftest import small_encoder, small_fusion, small_network, widths, write_model


@pytest.fixture
def composition() -> Composition:
    torch.manual_seed(0)
    return small_fusion()


@pytest.fixture
def model(composition: Composition) -> Fusion:
    return composition.model()


def noise(clips: int, seconds: float) -> Tensor:
    return 0.1 * torch.randn(clips, int(seconds * 16000), generator=torch.Generator().manual_seed(0))


def changed(composition: Composition, part: int, **fields: Any) -> Composition:
    """The same composition but for one part."""
    parts = list(composition.config.parts)
    parts[part] = replace(parts[part], **fields)
    other = Composition(replace(composition.config, parts=tuple(parts)))
    other.load_state_dict(composition.state_dict())
    return other


def alone(part: Part) -> Any:
    """A part, opened as any user would."""
    options: dict[str, Any] = {"layers": part.layers, "pool": part.pool}
    return weights.open_model(part.model, **options) if part.model else FRONTS[part.front]()


# The parts side by side.


def test_a_scene_is_that_of_each_part_standardised(model: Fusion) -> None:
    audio = noise(2, 1.5)
    values = torch.cat([alone(part).scene(audio) for part in model.composition.config.parts], dim=1)
    stored = model.composition.scene
    assert torch.allclose(model.scene(audio), (values - stored.mean) / stored.std, atol=1e-5)
    assert model.scene_embedding_size == values.shape[1]


def test_timestamps_are_those_of_the_first_model(model: Fusion) -> None:
    audio = noise(2, 1.5)
    parts = [alone(part) for part in model.composition.config.parts]
    wanted, centres = parts[0].timestamps(audio)
    frames, times = model.timestamps(audio)
    assert torch.equal(times, centres)
    values = torch.cat([wanted, *(part.frames_at(audio, times[0]) for part in parts[1:])], dim=2)
    stored = model.composition.frame
    assert torch.allclose(frames, (values - stored.mean) / stored.std, atol=1e-5)
    assert model.timestamp_embedding_size == values.shape[2]
    assert model.hops == parts[0].hops


def test_components_stand_for_values() -> None:
    """Of deviation as the axes say; fewer of them are the leading ones of each part, in proportion."""
    composition = small_fusion(components=4)
    model, audio = composition.model(), noise(2, 1.0)
    count = len(composition.config.parts)
    assert model.scene_embedding_size == model.timestamp_embedding_size == 4 * count
    plain = Composition(Config(tuple(replace(part, scene_components=0) for part in composition.config.parts)))
    plain.load_state_dict(composition.state_dict(), strict=False)
    widths = [part.scene for part in composition.config.parts]
    values = plain.model().scene(audio).split(widths, dim=1)
    wanted = [x @ part.axes.mT for x, part in zip(values, composition.scene.projections, strict=True)]  # type: ignore[operator, union-attr]
    assert torch.allclose(model.scene(audio), torch.cat(wanted, dim=1), atol=1e-4)
    for dims in (4 * count, 2 * count, count + 1):
        small = Composition(replace(composition.config, dims=dims))
        small.load_state_dict(composition.state_dict())
        few = small.model()
        assert few.scene_embedding_size == few.timestamp_embedding_size == dims
        kept = shares(dims, [4] * count)
        for call in ("scene", "timestamps"):
            whole, found = (getattr(one, call)(audio) for one in (model, few))
            whole, found = (whole, found) if call == "scene" else (whole[0], found[0])
            leading = [x[..., :size] for x, size in zip(whole.split(4, dim=-1), kept, strict=True)]
            assert torch.allclose(found, torch.cat(leading, dim=-1), atol=1e-4)


def test_shares_are_whole_and_near_the_weights() -> None:
    assert shares(10, [5, 3, 2]) == [5, 3, 2]
    assert shares(7, [4, 4, 4]) == [3, 2, 2]
    assert shares(512, [512, 256, 192, 128, 96, 256, 192]) == [161, 81, 60, 40, 30, 80, 60]
    assert shares(1, [1, 9]) == [0, 1]


def test_a_user_chooses_the_dims_of_a_file(tmp_path: Path) -> None:
    composition = small_fusion(components=2)
    file, most = write_model(composition, "fusion", tmp_path / "f.safetensors"), 2 * len(composition.config.parts)
    assert hear_audioformer.load_model(file, dims=3).scene(noise(1, 1.0)).shape == (1, 3)
    with pytest.raises(ValueError, match=f"dims={most + 1}: this fusion has up to {most} principal components"):
        hear_audioformer.load_model(file, dims=most + 1)
    plain = write_model(small_fusion(), "fusion", tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="dims=3: this fusion has values and no principal components"):
        hear_audioformer.load_model(plain, dims=3)


def test_front_ends_alone_are_a_fusion() -> None:
    parts = tuple(Part(front=name, **widths(front())) for name, front in FRONTS.items())
    composition = fusion.build({"parts": parts})
    model = composition.model(hop_ms=20)
    assert (model.scene_embedding_size, model.timestamp_embedding_size) == (1974, 985)
    assert model.hops == [40, 20, 10]
    assert model.timestamps(noise(1, 1.0))[1].diff().unique().tolist() == [pytest.approx(20.0)]
    with pytest.raises(ValueError, match="hop_ms=33 is not a hop of this model"):
        composition.model(hop_ms=33)


def test_a_fusion_may_be_a_part(tmp_path: Path) -> None:
    file = write_model(small_network("fusion"), "fusion", tmp_path / "inner.safetensors")
    inner = weights.open_model(file)
    outer = fusion.build({"parts": (Part(str(file), checkpoint.sha256(file), **widths(inner)),)}).model()
    assert torch.equal(outer.scene(noise(1, 1.0)), inner.scene(noise(1, 1.0)))


# Options.


def test_options_reach_the_parts(composition: Composition) -> None:
    model = composition.model(hop_ms=20, precision="bf16", batch_size=3, hop="fast")
    models = [part for part in model.models if isinstance(part, Embedder)]
    assert len(models) == 2
    assert all((part.precision, part.batch_size, part.fast) == ("bf16", 3, True) for part in models)
    assert model.hop_ms == models[0].hop_ms == 20
    assert model.used_precision == "bf16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop_ms": 33}, "hop_ms=33 is not a hop of this model; choose one of"),
        ({"layers": [1]}, "layers: each part of a fusion has its own; a model such as msm-mae-tiny takes layers"),
        ({"pool": "mean"}, "pool: each part of a fusion has its own; a model such as msm-mae-tiny takes pool"),
        ({"hop": "slow"}, "hop='slow' is not one of exact, fast"),
        ({"precision": "fp8"}, "precision='fp8' is not one of auto, fp32, bf16"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_wrong_options_say_what_there_is(composition: Composition, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        composition.model(**options)


def test_a_model_in_training_is_evaluated(model: Fusion) -> None:
    wanted = model.scene(noise(1, 0.5))
    assert torch.equal(model.train().scene(noise(1, 0.5)), wanted)
    assert all(module.training for module in model.modules())


# Parts that are not those of the fusion.


def test_a_part_of_another_hash_is_refused(composition: Composition) -> None:
    with pytest.raises(WeightsError, match=f"but this fusion was made with the .* of sha256 {'0' * 64}; get that file"):
        changed(composition, 0, sha256="0" * 64).model()


def test_a_missing_part_is_named(composition: Composition) -> None:
    with pytest.raises(WeightsError, match="this fusion needs the model 'nonesuch': no file and no model is called"):
        changed(composition, 1, model="nonesuch").model()


def test_a_part_of_another_width_is_refused(composition: Composition) -> None:
    first = composition.config.parts[0]
    other = Composition(replace(composition.config, parts=(replace(first, scene=first.scene + 1),)))
    with pytest.raises(WeightsError, match=f"gives vectors of {first.scene} and .*; this fusion was made for"):
        other.model()


def test_an_unknown_front_end_is_named(composition: Composition) -> None:
    with pytest.raises(WeightsError, match="no front end is called 'mfcc': this version knows log-frequency, modul"):
        changed(composition, 2, front="mfcc").model()


def test_a_deviation_of_zero_is_refused(composition: Composition) -> None:
    composition.frame.std[5] = 0
    with pytest.raises(WeightsError, match="a deviation of this fusion is not above 0"):
        composition.model()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_statistics_that_are_no_numbers(composition: Composition, tmp_path: Path, value: float) -> None:
    composition.scene.mean[3] = value
    file = write_model(composition, "fusion", tmp_path / "f.safetensors")
    with pytest.raises(WeightsError, match=r"holds NaN or infinite weights in scene\.mean"):
        weights.load_model(file)


def test_parts_at_several_rates_are_refused(composition: Composition, tmp_path: Path) -> None:
    encoder = small_encoder("msm-mae")
    other = type(encoder)(replace(encoder.config, sample_rate=32000))  # type: ignore[call-arg,type-var]
    other.load_state_dict(encoder.state_dict())
    file = write_model(other, "msm-mae", tmp_path / "fast.safetensors")
    with pytest.raises(ValueError, match=r"take audio at one rate; these take .*32000"):
        changed(composition, 0, model=str(file), sha256=checkpoint.sha256(file)).model()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "a fusion needs one part at least"),
        ({"parts": [{}]}, "a part is one of the two"),
        ({"parts": [{"model": "a", "front": "b"}]}, "a part is one of the two"),
        ({"parts": [{"model": "a", "weight": 2}]}, "expected model, sha256, layers, pool, front, scene, frame"),
        ({"parts": ["a"]}, "expected model, sha256"),
        ({"parts": [{"model": "a", "scene": 0}]}, "scene=0: must be above 0"),
        ({"parts": [{"model": "a", "scene": 2, "scene_components": 3}]}, "scene_components=3: a gives only 2 values"),
        ({"parts": [{"front": "a"}], "dims": 3}, "dims=3: this fusion has values and no"),
    ],
)
def test_senseless_configurations_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**config)


def test_a_fusion_is_no_encoder(tmp_path: Path) -> None:
    file = write_model(small_network("fusion"), "fusion", tmp_path / "f.safetensors")
    with pytest.raises(WeightsError, match="holds a fusion, which is no encoder"):
        weights.load_encoder(file)


# Frames at any time.


def test_interpolation_is_linear_and_holds_at_the_ends() -> None:
    frames = torch.tensor([[[0.0], [10.0], [30.0]]])
    times = torch.tensor([0.0, 20.0, 30.0, 50.0, 60.0, 99.0])
    found = interpolated(frames, torch.tensor([20.0, 40.0, 60.0]), times)
    assert found[0, :, 0].tolist() == [0.0, 0.0, 5.0, 20.0, 30.0, 30.0]
    assert interpolated(frames[:, :1], torch.tensor([20.0]), times)[0, :, 0].tolist() == [0.0] * 6


@pytest.mark.parametrize("front", FRONTS)
def test_front_ends_hear_a_click_where_it_is(front: str) -> None:
    model = FRONTS[front](hop_ms=10)
    quiet = 1e-3 * noise(1, 2.0)
    click = quiet.clone()
    click[0, 16000:16032] += 0.9
    changes = (model.timestamps(click)[0] - model.timestamps(quiet)[0]).norm(dim=-1)[0].double()
    times = model.timestamps(quiet)[1][0].double()
    touched = changes > 0.5 * changes.max()
    assert abs(float((times * changes)[touched].sum() / changes[touched].sum()) - 1000) < 10


@pytest.mark.parametrize("front", FRONTS)
def test_frames_of_a_front_end_do_not_depend_on_the_times_beside_them(front: str) -> None:
    model, audio = FRONTS[front](), noise(2, 8.0)
    frames, times = model.timestamps(audio)
    for place in (0, 90, len(times[0]) - 1):
        assert torch.allclose(model.frames_at(audio, times[0, place : place + 1])[:, 0], frames[:, place], atol=1e-4)


# Statistics of long clips.


@pytest.mark.parametrize("front", FRONTS)
def test_statistics_of_blocks_are_those_of_the_clip(front: str, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(1, 10.3) * torch.linspace(0.1, 2.0, 164800)
    wanted = FRONTS[front]().scene(audio)
    monkeypatch.setattr(statistics, "SPECTRA_A_BLOCK", 23)
    for module in (statistics, movement):
        monkeypatch.setattr(module, "FRAMES_A_BLOCK", 103)
    monkeypatch.setattr(movement, "MEMORY", 31)
    assert (FRONTS[front]().scene(audio) - wanted).abs().max() < 1e-4


def test_quantiles_of_long_clips_are_those_of_some_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(1, 20.0)
    model = Modulation()
    wanted = model.scene(audio)
    monkeypatch.setattr(statistics, "RANKED", 700)  # of 2 001 frames, each third is kept
    monkeypatch.setattr(statistics, "FRAMES_A_BLOCK", 100)
    found = model.scene(audio)
    exact = (len(statistics.SMOOTHINGS)) * statistics.BANDS
    assert (found - wanted)[:, :exact].abs().max() < 1e-4
    assert not torch.equal(found[:, exact:], wanted[:, exact:])
    assert (found - wanted)[:, exact:].abs().max() < 0.4  # nats; noise itself deviates by 1.2 from frame to frame
    levels = model.smoothed(Waveform(audio), 0, 2001)[0]
    for values, share, place in ((levels[:, :, ::3], 0.9, 12), (levels.diff(dim=2)[:, :, ::3], 0.05, 7)):
        part = slice(place * statistics.BANDS, (place + 1) * statistics.BANDS)
        assert torch.allclose(found[:, part], values.quantile(share, dim=2), atol=1e-5)


def test_moving_averages_and_quantiles_are_what_they_are_called() -> None:
    values = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    averaged = statistics._moving_average(values, 6)
    assert averaged[0, 1, 20] == pytest.approx(values[0, 1, 18:24].mean().item(), abs=1e-6)
    assert averaged[0, 1, 0] == pytest.approx(values[0, 1, :4].mean().item(), abs=1e-6)
    for share, found in zip((0.25, 0.9), statistics._quantiles(values, (0.25, 0.9)), strict=True):
        assert torch.allclose(found, values.quantile(share, dim=2), atol=1e-6)
