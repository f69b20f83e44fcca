"""The promises, over every registered method."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import hear_audioformer
from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.encoder import Network

NEIGHBOURS = 1e-5  # promise 1
FAST = 1e-5  # promise 6: windows folded together against one by one
BF16 = 0.05  # promise 6: of the embedding's own norm


def noise(clips: int, seconds: float, rate: int = 16000) -> Tensor:
    return 0.1 * torch.randn(clips, int(seconds * rate), generator=torch.Generator().manual_seed(0))


# 1. A clip's embedding does not depend on its neighbours.


@pytest.mark.parametrize("seconds", [0.05, 0.7, 3.3])
def test_neighbours_do_not_matter(network: Network, seconds: float) -> None:
    model = network.model()
    audio = noise(5, seconds, model.sample_rate) * torch.tensor([1.0, 1e-4, 10.0, 0.0, 1.0])[:, None]
    scenes, (frames, _) = model.scene(audio), model.timestamps(audio)
    for row in range(5):
        assert (model.scene(audio[row : row + 1])[0] - scenes[row]).abs().max() <= NEIGHBOURS
        assert (model.timestamps(audio[row : row + 1])[0][0] - frames[row]).abs().max() <= NEIGHBOURS
    order = [3, 1, 4, 0, 2]
    assert (model.scene(audio[order]) - scenes[order]).abs().max() <= NEIGHBOURS


def test_clips_of_other_lengths_do_not_matter_either(network: Network) -> None:
    model = network.model()
    clips = [noise(1, seconds, model.sample_rate)[0] for seconds in (0.3, 2.0, 0.3, 5.1, 0.001)]
    together = model.scene(clips)
    for clip, vector in zip(clips, together, strict=True):
        assert (model.scene(clip[None])[0] - vector).abs().max() <= NEIGHBOURS


# 2. Any length; memory bounded by the window batch.


@pytest.mark.parametrize("samples", [1, 2, 159, 160, 400, 401, 2559, 2560, 2561, 15199, 15200, 15360, 15361, 48000])
def test_any_length(network: Network, samples: int) -> None:
    model = network.model()
    audio = noise(2, 3.0)[:, :samples]
    scenes, (frames, times) = model.scene(audio), model.timestamps(audio)
    assert scenes.shape == (2, model.scene_embedding_size)
    assert frames.shape == (2, times.shape[1], model.timestamp_embedding_size)
    assert all(torch.isfinite(x).all() for x in (scenes, frames, times))


def test_twenty_minutes(network: Network) -> None:
    model = network.model()
    frames, times = model.timestamps(noise(1, 1200.0, model.sample_rate))
    assert frames.shape[1] == times.shape[1] == round(1200 / (model.hop_ms / 1000))
    assert torch.isfinite(frames).all()


def test_no_clips_give_no_embeddings(network: Network) -> None:
    model = network.model()
    assert model.scene(torch.zeros(0, 16000)).shape == (0, model.scene_embedding_size)
    assert model.timestamps(torch.zeros(0, 16000))[0].shape[0] == 0
    assert model.scene([]).shape == (0, model.scene_embedding_size)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_no_forward_takes_more_windows_than_allowed(encoder: Encoder, batch_size: int) -> None:
    taken: list[int] = []
    encoder.blocks[0].register_forward_hook(lambda _, given, __: taken.append(len(given[0])))
    model = Embedder(encoder, batch_size=batch_size)
    for call in (model.scene, model.timestamps):
        taken.clear()
        for audio in (noise(7, 0.3), noise(2, 9.0)):
            call(audio)
        assert max(taken) == batch_size


PEAK = """
import resource, sys, torch
from hear_audioformer import load_model
model = load_model(sys.argv[1])
audio = 0.1 * torch.randn(1, 3600 * model.sample_rate)  # an hour is held in any case; only what is embedded differs
model.scene(audio[:, : 10 * model.sample_rate])
model.scene(audio[:, : int(sys.argv[2]) * model.sample_rate])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_an_hour_needs_no_more_memory_than_a_minute(model_file: Path) -> None:
    peak = {}
    for seconds in (60, 3600):
        command = [sys.executable, "-c", PEAK, str(model_file), str(seconds)]
        peak[seconds] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"peak memory: {peak[60]} MiB for a minute, {peak[3600]} MiB for an hour")
    assert peak[3600] - peak[60] < 32, peak  # MiB; the log-mel of an hour alone would be 110


# 3. NaN and inf are refused by name; silence, DC and clipping are not.


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_bad_samples_name_their_clip(network: Network, value: float) -> None:
    audio = noise(3, 0.5)
    audio[1, 77] = value
    model = network.model()
    for call in (model.scene, model.timestamps):
        with pytest.raises(ValueError, match=r"NaN or infinite samples in clip 1$"):
            call(audio)
    with pytest.raises(ValueError, match="in clip 2"):
        model.scene([audio[0], audio[2], audio[1]])


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0])
def test_degenerate_signals_are_finite(network: Network, seconds: float) -> None:
    model = network.model()
    square = torch.sign(torch.sin(torch.arange(int(seconds * model.sample_rate)) * 0.05))
    audio = torch.stack([torch.zeros_like(square), torch.ones_like(square), square, 1e-30 * square, 32768 * square])
    assert torch.isfinite(model.scene(audio)).all()
    assert torch.isfinite(model.timestamps(audio)[0]).all()


@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        (torch.zeros(2, 0), ValueError, "clip 0 is empty"),
        (torch.zeros(16000), ValueError, r"pass audio\[None\]"),
        (torch.zeros(1, 1, 16000), ValueError, "must be .clips, samples."),
        (torch.zeros(1, 16000, dtype=torch.int16), TypeError, "int16 as audio / 32768"),
    ],
)
def test_wrong_input_says_what_to_do(network: Network, audio: Tensor, error: type, message: str) -> None:
    model = network.model()
    own_frames = [model.frames] if isinstance(model, Embedder) else []
    for call in (model.scene, model.timestamps, *own_frames):
        with pytest.raises(error, match=message):
            call(audio)


# 4. Time stamps.


@pytest.mark.parametrize("seconds", [0.2, 1.07, 1.98, 4.0, 30.0])
def test_time_stamps_are_centred_regular_and_within(network: Network, seconds: float) -> None:
    model = network.model()
    audio = noise(2, seconds, model.sample_rate)
    _, times = model.timestamps(audio)
    steps = times.double().diff(dim=1)
    assert model.hop_ms <= 50
    assert (steps - model.hop_ms).abs().max() < 3e-3
    assert (times[:, 0] <= model.hop_ms).all()
    assert (times[:, -1] <= 1000 * audio.shape[1] / model.sample_rate).all()
    assert (times[:, -1] > 1000 * audio.shape[1] / model.sample_rate - model.hop_ms).all()


def test_a_click_shows_where_the_time_stamp_says(encoder: Encoder) -> None:
    """Of the finest frames, the one that a click changes most is the one whose centre is nearest to it.

    Of an encoder of many scales, the finest: what sees a whole window may change all over it.
    """
    layers = [1] if len(encoder.layers) > 1 else None
    model = Embedder(encoder, hop_ms=min(encoder.geometry.hops()), layers=layers)
    quiet = 1e-3 * noise(1, 2.0, model.sample_rate)
    for seconds in (0.5, 1.0, 1.4):
        click = quiet.clone()
        at = int(seconds * model.sample_rate)
        click[0, at : at + 32] += 0.9
        clicked, times = model.timestamps(click)
        change = (clicked - model.timestamps(quiet)[0]).norm(dim=-1)[0].double()
        touched = change > 0.5 * change.max()
        centre = float((times[0].double() * change)[touched].sum() / change[touched].sum())
        assert abs(centre - 1000 * seconds) < 40


def test_coarse_frames_are_among_the_fine(encoder: Encoder) -> None:
    native, fine = (Embedder(encoder, hop_ms=hop) for hop in (max(encoder.geometry.hops()), None))
    audio = noise(1, 2.9)
    wanted, times = native.timestamps(audio)
    found, all_times = fine.timestamps(audio)
    places = [int((all_times[0] - time).abs().argmin()) for time in times[0]]
    assert torch.equal(all_times[0, places], times[0])
    full = wanted.shape[1] // encoder.geometry.columns * encoder.geometry.columns  # the last window may be cropped
    assert (found[0, places] - wanted[0])[:full].abs().max() < FAST


# 5. Clean results, nothing left behind, any device.


def test_results_are_plain_float32_without_a_graph(network: Network) -> None:
    model = network.model()
    for dtype in (torch.float32, torch.float64, torch.float16):
        for result in (model.scene(noise(2, 1.0).to(dtype)), *model.timestamps(noise(2, 1.0).to(dtype))):
            assert result.dtype == torch.float32
            assert not result.requires_grad
            assert not result.is_inference()  # a head may be trained on it


def test_modes_and_gradients_stay_as_they_were(encoder: Encoder) -> None:
    """Of a model in training whose blocks drop branches and values, some of them: what is embedded is evaluated."""
    model = Embedder(encoder)
    block = encoder.blocks[0]
    name = next(name for name, module in block.named_children() if "norm" in name.lower() or name == "dropout")
    block._modules[name] = nn.Sequential(block._modules[name], nn.Dropout(0.5))
    model.train()
    block.drop_prob = 0.5
    list(encoder.modules())[-1].eval()
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    learning = [parameter.requires_grad for parameter in model.parameters()]  # a codec does not
    assert any(learning)
    scene = model.scene(noise(1, 0.5))
    assert torch.equal(model.scene(noise(1, 0.5)), scene)
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()
    assert [parameter.requires_grad for parameter in model.parameters()] == learning
    assert torch.equal(model.eval().scene(noise(1, 0.5)), scene)  # evaluated, not trained


def test_everything_follows_to_another_device(encoder: Encoder) -> None:
    model = Embedder(encoder).to("meta")
    assert {t.device.type for t in (*model.parameters(), *model.buffers())} == {"meta"}
    assert model.encoder(torch.zeros(2, 8000, device="meta")).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("auto", BF16)])
def test_cuda_equals_the_cpu(network: Network, precision: str, tolerance: float) -> None:
    audio = noise(3, 2.2)
    wanted = network.model(precision="fp32").scene(audio)
    model = network.model(precision=precision).to("cuda")
    for found in (model.scene(audio), model.scene(audio.cuda()).cpu()):
        assert ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).max() < tolerance
    assert (model.cpu().scene(audio) - wanted).abs().max() < BF16 * wanted.abs().max()


# 6. The fast paths.


@torch.no_grad()
def neighbouring_windows(encoder: Encoder, audio: Tensor) -> Tensor:
    frames = encoder.geometry.columns * encoder.geometry.patch
    total = encoder.count(audio.shape[1])
    starts = range(0, total, frames)
    parts = [encoder.encode(encoder.features(audio, start, min(start + frames, total))) for start in starts]
    return torch.cat(parts, dim=1)


@torch.no_grad()
def overlapping_windows(encoder: Encoder, audio: Tensor) -> Tensor:
    """Full windows, the last one ending with the clip; a frame is a mean over its windows, surest in their middle."""
    columns, patch, features = encoder.geometry.columns, encoder.geometry.patch, encoder.count(audio.shape[1])
    total = -(-features // patch)
    weight = torch.tensor([float(min(i + 1, columns - i)) for i in range(columns)])[:, None]
    sums, weights = torch.zeros(len(audio), total, encoder.dim), torch.zeros(total, 1)
    for start in [*range(0, total - columns, encoder.geometry.stride), total - columns]:
        part = slice(start, start + columns)
        stop = min(patch * part.stop, features)
        sums[:, part] += weight * encoder.encode(encoder.features(audio, patch * start, stop))
        weights[part] += weight
    return sums / weights


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_folded_windows_equal_single_ones(encoder: Encoder, batch_size: int) -> None:
    """The reference: the encoder's own forward on one window of features at a time."""
    audio = noise(3, 4.4)
    wanted = (overlapping_windows if encoder.geometry.stride else neighbouring_windows)(encoder, audio)
    model = Embedder(encoder, pool="mean", batch_size=batch_size)
    assert (model.frames(audio) - wanted).abs().max() < FAST
    assert (model.scene(audio) - wanted.mean(1)).abs().max() < FAST


def test_bf16_is_close_and_float32(network: Network) -> None:
    audio = noise(4, 2.2)
    wanted, found = (network.model(precision=p).scene(audio) for p in ("fp32", "bf16"))
    assert found.dtype == torch.float32
    assert not torch.equal(found, wanted)
    assert ((found - wanted).norm(dim=1) / wanted.norm(dim=1)).max() < BF16


def test_bf16_follows_changed_weights(encoder: Encoder) -> None:
    audio = noise(1, 1.0)
    model = Embedder(encoder, precision="bf16")
    before = model.scene(audio)
    next(iter(encoder.parameters())).data.mul_(2.0)  # which no version counter shows
    for parameter in encoder.parameters():
        assert parameter.dtype == torch.float32
    assert not torch.allclose(model.scene(audio), before)


def test_fast_timestamps_are_lines_between_exact_ones(encoder: Encoder) -> None:
    """Of all frames, those that lie side by side are the exact ones; the last holds to the end.

    A method that has a fine view of its own, in one pass, gives it either way.
    """
    audio = noise(2, 2.98)
    hops = sorted(encoder.geometry.hops())
    ms = hops[-min(3, len(hops))]
    (exact, times), (fast, fast_times) = (
        Embedder(encoder, hop_ms=ms, hop=hop).timestamps(audio)
        for hop in ("exact", "fast")  # type: ignore[arg-type]
    )
    passes = round(hops[-1] / ms)
    assert passes == (4 if encoder.geometry.patch % 4 == 0 else 1)
    assert torch.equal(fast_times, times)
    if passes == 1:
        assert torch.equal(fast, exact)
        return
    assert (fast[:, ::passes] - exact[:, ::passes]).abs().max() < FAST
    middle = (fast[:, 0] + fast[:, passes]) / 2
    assert (fast[:, passes // 2] - middle).abs().max() < FAST
    last = (times.shape[1] - 1) // passes * passes
    assert last < times.shape[1] - 1
    assert torch.equal(fast[:, last:], fast[:, last : last + 1].expand_as(fast[:, last:]))
    assert not torch.allclose(fast, exact, atol=1e-2)


# Options.


def test_pooling_with_deviation(encoder: Encoder) -> None:
    audio = noise(2, 3.0)
    model = Embedder(encoder, pool="mean+std")
    frames = model.frames(audio)
    wanted = torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=-1)
    assert model.scene_embedding_size == 2 * model.timestamp_embedding_size == wanted.shape[1]
    assert (model.scene(audio) - wanted).abs().max() < FAST


def test_layers_are_concatenated_in_the_order_asked(encoder: Encoder) -> None:
    audio = noise(2, 0.5)
    model = Embedder(encoder, layers=[-1, 1])
    last, first = Embedder(encoder, layers=[encoder.depth]), Embedder(encoder, layers=[1])
    assert model.scene_embedding_size == last.scene_embedding_size + first.scene_embedding_size
    assert (model.scene(audio) - torch.cat([last.scene(audio), first.scene(audio)], dim=1)).abs().max() < FAST


def test_a_model_may_have_layers_of_its_own(encoder: Encoder) -> None:
    """The configuration's layers are the default, a user's go first, and none above the highest need be run."""
    chosen = type(encoder)(replace(encoder.config, layers=[-encoder.depth, 1]))
    chosen.load_state_dict(encoder.state_dict())
    audio = noise(2, 0.5)
    wanted, last = (Embedder(encoder, layers=layers).scene(audio) for layers in ([1, 1], [-1]))
    assert chosen.layers == (1, 1)
    assert torch.equal(Embedder(chosen).scene(audio), wanted)
    assert torch.equal(Embedder(chosen, layers=[-1]).scene(audio), last)
    assert chosen(audio).shape[-1] == chosen.dim == Embedder(chosen).timestamp_embedding_size
    run: list[int] = []
    for number, block in enumerate(chosen.blocks):
        block.register_forward_hook(lambda *_, number=number: run.append(number))
    Embedder(chosen).scene(audio)
    if not isinstance(encoder, hear_audioformer.audioformer.Audioformer):  # the last is the mean of several there
        assert run == [0]
    with pytest.raises(ValueError, match="name layers 1 to"):
        type(encoder)(replace(encoder.config, layers=[encoder.depth + 1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop_ms": 33}, "hop_ms=33 is not a hop of this model; choose one of"),
        ({"layers": [0]}, "name layers 1 to"),
        ({"layers": []}, "name layers 1 to"),
        ({"pool": "max"}, "pool='max' is not one of mean, mean.std"),
        ({"hop": "slow"}, "hop='slow' is not one of exact, fast"),
        ({"precision": "fp8"}, "precision='fp8' is not one of auto, fp32, bf16"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_wrong_options_say_what_there_is(encoder: Encoder, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedder(encoder, **options)


def test_hear_functions_of_the_package_and_of_the_method(method: str, model_file: Path) -> None:
    from hear_audioformer.weights import method_module

    audio = noise(2, 1.0)
    wanted = hear_audioformer.load_model(str(model_file))
    for module in (hear_audioformer, method_module(method)):
        model = module.load_model(str(model_file))
        assert isinstance(model, nn.Module)
        assert torch.equal(module.get_scene_embeddings(audio, model), wanted.scene(audio))
        for found, expected in zip(
            module.get_timestamp_embeddings(audio, model), wanted.timestamps(audio), strict=True
        ):
            assert torch.equal(found, expected)
