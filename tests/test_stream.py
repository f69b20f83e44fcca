"""A stream equals the whole clip: whatever the chunks, every option, every length, in constant memory."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from hear_audioformer import asit, audio, codec, msm_mae
from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.feature_stream import Tail
from hear_audioformer.stream import scene_of, timestamps_of
from tests.conftest import SMALL_CODEC, learn_codebooks, small_audioformer, small_encoder
from tests.toy_method import Config as ToyConfig
from tests.toy_method import Toy

EQUAL = 1e-5
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"hop": "fast"},
    "coarse": {"hop_ms": "longest"},
    "fine": {"hop_ms": "shortest", "layers": [1, -1], "pool": "mean+std"},
    "batch of 3": {"batch_size": 3},
}


def noise(samples: int, seed: int = 0) -> Tensor:
    """Noise whose level wanders, (samples,)."""
    draw = torch.Generator().manual_seed(seed)
    levels = torch.logspace(-2, 0, 7)[torch.randint(7, (samples // 3000 + 1,), generator=draw)]
    return 0.3 * torch.randn(samples, generator=draw) * levels.repeat_interleave(3000)[:samples]


def model_of(encoder: Encoder, options: dict[str, Any]) -> Embedder:
    hops = encoder.geometry.hops()
    words = {"longest": max(hops), "shortest": sorted(hops)[len(hops) // 2]}
    return Embedder(encoder, **{name: words.get(str(value), value) for name, value in options.items()})


def lengths(encoder: Encoder) -> list[int]:
    """Clips from one sample on, and around the ends of frames, windows and their overlap."""
    geometry = encoder.geometry
    window, frame, reach = encoder.window, encoder.hop, encoder.reach[1]
    edges = [(window, 0), (window, reach), (window + frame, reach), (window + (geometry.stride or 1) * frame, reach)]
    return [
        1,
        399,
        401,
        frame + 1,
        *(edge + past + by for edge, past in edges for by in (-1, 0)),
        2 * window + 5 * frame,
    ]


def streamed(model: Embedder, chunks: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """Frames and times, as ``timestamps`` gives them for one clip."""
    times, frames = zip(*model.stream(chunks, **options), strict=True)
    return torch.stack(frames), torch.tensor(times)


def chopped(clip: Tensor, seed: int = 0) -> list[Tensor]:
    """Chunks of sizes from nothing to a second."""
    draw, chunks, start = np.random.default_rng(seed), [], 0
    while start < len(clip):
        size = int(draw.choice([0, 1, 37, 160, 1000, 16000]))
        chunks.append(clip[start : start + size])
        start += size
    return chunks


def blocks_of(clip: Tensor, size: int = 7919) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (block.numpy() for block in clip.split(size))


# Equality


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_a_stream_and_a_long_file_equal_the_clip(encoder: Encoder, options: dict[str, Any]) -> None:
    model = model_of(encoder, options)
    for samples in lengths(encoder):
        clip = noise(samples, seed=samples)
        wanted, times = model.timestamps(clip[None])
        frames, found = streamed(model, chopped(clip, samples))
        assert torch.equal(found, times[0])
        assert (frames - wanted[0]).abs().max() <= EQUAL
        assert frames.dtype == torch.float32
        parts = list(timestamps_of(model, blocks_of(clip)))
        assert torch.equal(torch.cat([part for part, _ in parts]), times[0])
        assert (torch.cat([part for _, part in parts]) - wanted[0]).abs().max() <= EQUAL
        assert (scene_of(model, blocks_of(clip)) - model.scene(clip[None])[0]).abs().max() <= EQUAL


def test_every_pool(encoder: Encoder) -> None:
    clip = noise(50_000)
    for pool in encoder.pools:
        model = Embedder(encoder, pool=pool)
        assert (scene_of(model, blocks_of(clip)) - model.scene(clip[None])[0]).abs().max() <= EQUAL


def test_bf16(encoder: Encoder) -> None:
    model = Embedder(encoder, precision="bf16")
    clip = noise(50_000)
    wanted = model.timestamps(clip[None])[0][0]
    assert (streamed(model, [clip])[0] - wanted).norm() < 0.01 * wanted.norm()
    scene = model.scene(clip[None])[0]
    assert (scene_of(model, blocks_of(clip)) - scene).norm() < 0.01 * scene.norm()


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: msm_mae.MsmMae(msm_mae.Config(width=48, depth=2, heads=4, frames=96, short="pad")),
        lambda: asit.Asit(asit.Config(width=48, depth=2, heads=4, frames=96, window=160, positions="stretch")),
        lambda: small_audioformer(combine="mean", codebooks=1, window=9),
        lambda: Toy(ToyConfig()),
    ],
    ids=["padded", "stretched", "one codebook", "a fifth method"],
)
def test_encoders_with_options_and_others(encoder: Callable[[], Encoder]) -> None:
    torch.manual_seed(0)
    model = Embedder(encoder())
    for samples in (300, 15_000, 41_234):
        clip = noise(samples)
        wanted = model.timestamps(clip[None])[0][0]
        assert (streamed(model, chopped(clip))[0] - wanted).abs().max() <= EQUAL
        assert (scene_of(model, blocks_of(clip)) - model.scene(clip[None])[0]).abs().max() <= EQUAL


@pytest.mark.parametrize("chunk", [1, 399, 100_000])
def test_the_chunks_do_not_matter(encoder: Encoder, chunk: int) -> None:
    model = Embedder(encoder, hop_ms=max(encoder.geometry.hops()))
    clip = noise(16_500 if chunk > 1 else 1200)
    wanted = streamed(model, [clip])[0]
    assert (streamed(model, clip.split(chunk))[0] - wanted).abs().max() <= EQUAL


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_arrays_are_as_good_as_tensors(encoder: Encoder, dtype: str) -> None:
    model = Embedder(encoder)
    clip = noise(30_000)
    arrays = [block.astype(dtype) for block in blocks_of(clip)()]
    assert (streamed(model, iter(arrays))[0] - streamed(model, [clip])[0]).abs().max() <= EQUAL


@pytest.mark.parametrize("rate", [44_100, 8000])
def test_another_rate(encoder: Encoder, rate: int) -> None:
    model = Embedder(encoder)
    clip = noise(2 * rate)
    wanted, times = model.timestamps(audio.resample(clip[None], rate, model.sample_rate))
    frames, found = streamed(model, clip.split(1000), sample_rate=rate)
    assert torch.equal(found, times[0])
    assert (frames - wanted[0]).abs().max() < 1e-3 * wanted.abs().max()  # the resampler rounds in other places


# What a method must know of the whole clip


def test_asit_removes_the_mean_so_far() -> None:
    """The filter bank removes each frame's own mean, so little is left of this, even of a strong offset."""
    model = Embedder(small_encoder("asit"))
    clip = 0.1 * noise(60_000)
    clip[30_000:] += 0.5
    wanted = model.timestamps(clip[None])[0][0]
    difference = (streamed(model, clip.split(500))[0] - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert 0 < difference.max() < 1e-3
    assert (torch.cat([f for _, f in timestamps_of(model, blocks_of(clip))]) - wanted).abs().max() <= EQUAL


def test_statistics_of_the_batch_run_along() -> None:
    """Live, MSM-MAE's ``normalisation="batch"`` knows what came so far; of a file, all of it."""
    torch.manual_seed(0)
    config = msm_mae.Config(width=48, depth=2, heads=4, frames=96, normalisation="batch")
    model = Embedder(msm_mae.MsmMae(config), hop_ms=160)
    clip = noise(16_000 * 3)
    wanted = model.timestamps(clip[None])[0][0]
    live = streamed(model, clip.split(500))[0]
    assert (torch.cat([f for _, f in timestamps_of(model, blocks_of(clip))]) - wanted).abs().max() <= EQUAL
    assert (live[-1] - wanted[-1]).abs().max() <= EQUAL  # the end knows all
    assert (live[0] - wanted[0]).abs().max() > 1e-2
    first = model.timestamps(clip[None, :15_500])[0][0]  # about what the first window knows
    assert (live[0] - first[0]).abs().max() < 1e-2


@pytest.mark.parametrize("options", [{"dilations": (1, 3)}, {"lstm": 1}, {"front": "mel", "bands": 16}])
def test_codes_of_blocks_are_those_of_the_clip(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one second; an LSTM remembers all of its block."""
    monkeypatch.setattr(codec, "BLOCK_SECONDS", 1)
    torch.manual_seed(0)
    encoder = small_audioformer(codec={**SMALL_CODEC, **options})
    if "front" in options:
        torch.nn.init.normal_(encoder.codec.encoder.directions)  # type: ignore[arg-type]
        for codebook in encoder.codec.quantizer.codebooks:
            torch.nn.init.normal_(codebook.embed, std=10.0)
    else:
        learn_codebooks(encoder.codec)
    model = Embedder(encoder)
    for samples in (16_000, 16_500, 17_000, 66_666):
        clip = noise(samples)
        codes = encoder.codec(clip[None])
        assert samples < 20_000 or min(len(codes[0, book].unique()) for book in range(2)) > 5
        wanted = model.timestamps(clip[None])[0][0]
        assert (streamed(model, clip.split(777))[0] - wanted).abs().max() <= EQUAL
        assert (torch.cat([f for _, f in timestamps_of(model, blocks_of(clip))]) - wanted).abs().max() <= EQUAL


def test_a_method_must_say_what_it_knows_of_a_clip() -> None:
    class Louder(Toy):
        def clip_context(self, audio: Tensor) -> Tensor:
            return audio.abs().amax(1, True)

    with pytest.raises(NotImplementedError, match="Louder defines clip_context and so must define statistics"):
        next(Embedder(Louder(ToyConfig())).stream([noise(100)]))


# Latency


def delays(model: Embedder, clip: Tensor, chunk: int, **options: Any) -> list[float]:
    """For each embedding, ms from its centre to the last sample that had gone in when it came out."""
    gone = 0

    def chunks() -> Iterator[Tensor]:
        nonlocal gone
        for part in clip.split(chunk):
            gone += len(part)
            yield part

    return [1000 * gone / model.sample_rate - time for time, _ in model.stream(chunks(), **options)]


@pytest.mark.parametrize(
    "options", [OPTIONS["default"], OPTIONS["fast"], OPTIONS["coarse"]], ids=["", "fast", "coarse"]
)
def test_embeddings_come_within_the_latency(encoder: Encoder, options: dict[str, Any]) -> None:
    model = model_of(encoder, options)
    found = max(delays(model, noise(4 * encoder.window), chunk=40))
    slack = 1000 * (40 + 1) / model.sample_rate
    assert found <= model.latency_ms + slack
    assert found > model.latency_ms - slack - 1  # it is not overstated: some frame waits as long


def test_the_latency_of_the_bundled_geometries() -> None:
    """A window of 2.08 s less half a patch and its last feature frame's reach."""
    model = Embedder(msm_mae.MsmMae(msm_mae.Config(width=16, depth=1, heads=1)))
    assert model.latency_ms == 2080 - 85 + 12.5


def test_a_shorter_latency_shortens_windows(encoder: Encoder) -> None:
    model = Embedder(encoder)
    clip = noise(40_000)
    longest = model.latency_ms / 2
    frames, times = streamed(model, clip.split(500), latency_ms=longest)
    assert max(delays(model, clip, 40, latency_ms=longest)) <= longest + 1000 * 41 / model.sample_rate
    assert torch.equal(times, model.timestamps(clip[None])[1][0])
    assert not torch.allclose(frames, model.timestamps(clip[None])[0][0], atol=1e-4)
    columns = next(n for n in range(encoder.geometry.columns, 0, -1) if _latency(model, n) <= longest)
    stride = columns // 2 if encoder.geometry.stride else 0
    encoder.geometry = replace(encoder.geometry, columns=columns, stride=stride)
    assert (frames - model.timestamps(clip[None])[0][0]).abs().max() <= EQUAL


def _latency(model: Embedder, columns: int) -> float:
    cut = model.encoder.geometry.columns - columns
    return model.latency_ms - 1000 * cut * model.encoder.hop / model.sample_rate


@pytest.mark.parametrize(("value", "message"), [(0.1, "windows of this model take at least"), ("1", "is not a number")])
def test_a_latency_that_cannot_be(encoder: Encoder, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedder(encoder).stream([], latency_ms=value)


# Nothing left behind


def test_gradients_and_modes_stay_as_they_were(encoder: Encoder) -> None:
    model = Embedder(encoder)
    model.train()
    for _, embedding in model.stream([noise(20_000)]):
        assert torch.is_grad_enabled()
        assert model.training
        assert not embedding.requires_grad
    for _, frames in timestamps_of(model, blocks_of(noise(20_000))):
        assert torch.is_grad_enabled()
        assert not frames.requires_grad


def test_two_streams_at_once(encoder: Encoder) -> None:
    model = Embedder(encoder)
    clips = noise(30_000, 1), noise(30_000, 2)
    both = list(zip(*(model.stream(clip.split(500)) for clip in clips), strict=True))
    for row, clip in enumerate(clips):
        found = torch.stack([pair[row][1] for pair in both])
        assert (found - model.timestamps(clip[None])[0][0]).abs().max() <= EQUAL


# Batches and memory


def test_batches_of_windows_are_full(encoder: Encoder) -> None:
    taken: list[int] = []
    encoder.blocks[0].register_forward_hook(lambda _, given, __: taken.append(len(given[0])))
    model = Embedder(encoder, batch_size=4)
    clip = noise(12 * encoder.window + 777)
    for call in (scene_of, lambda *given: list(timestamps_of(*given))):
        taken.clear()
        call(model, blocks_of(clip))
        assert max(taken) == 4
        assert sum(size < 4 for size in taken) <= 2 * getattr(encoder.config, "sequences", 1)
        assert len(taken) > 3 * getattr(encoder.config, "sequences", 1)


def test_progress_counts_samples(encoder: Encoder) -> None:
    done: list[int] = []
    scene_of(Embedder(encoder), blocks_of(noise(30_000), 9000), done.append)
    assert done == [9000, 18_000, 27_000, 30_000]


def held() -> int:
    """Values in all tensors that live."""
    tensors = [item for item in gc.get_objects() if type(item) in (Tensor, Parameter)]  # and not those of a tracer
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() // 4 for t in tensors}.values())


@pytest.mark.parametrize(("kind", "long"), [("scene", 20), ("timestamps", 8), ("stream", 6)])
def test_long_recordings_hold_no_more_than_two_minutes(
    encoder: Encoder, kind: str, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an encoder that costs nothing; the waveform of 6 minutes alone would be six million values."""
    monkeypatch.setattr(codec, "BLOCK_SECONDS", 1)

    def cheap(features: Tensor, layers: Any, pool: str = "") -> Tensor:
        width = sum(encoder.pooled_dim(layer, pool) if pool else encoder.layer_dim(layer) for layer in layers)
        return torch.zeros(1, len(features), -(-features.shape[1] // encoder.geometry.patch), width)

    monkeypatch.setattr(encoder, "encode_layers", cheap)
    monkeypatch.setattr(encoder, "pooled_layers", cheap)
    model = Embedder(encoder)
    second = noise(model.sample_rate).numpy()
    peak = 0

    def blocks(seconds: int) -> Iterator[np.ndarray]:
        nonlocal peak
        for number in range(seconds):
            yield second
            if number > seconds - 100 and number % 33 == 0:
                peak = max(peak, held())

    peaks = []
    for minutes in (2, long):
        peak = 0
        if kind == "scene":
            scene_of(model, lambda minutes=minutes: blocks(60 * minutes))  # type: ignore[misc]
        else:
            given = lambda minutes=minutes: blocks(60 * minutes)  # noqa: E731
            results: Any = model.stream(given()) if kind == "stream" else timestamps_of(model, given)
            assert sum(1 for _ in results) > minutes
        peaks.append(peak)
    assert 0 < peaks[1] < 1.1 * peaks[0] + 200_000, peaks


def test_the_tail_of_a_waveform() -> None:
    tail, clip = Tail(), torch.arange(1000.0)[None]
    for start in range(0, 1000, 100):
        tail.add(clip[:, start : start + 100])
        assert torch.equal(tail.part(tail.first, 9999), clip[:, tail.first : start + 100])
        tail.drop(start + 50)
    assert tail.first == 950
    assert tail._held.shape[1] <= 500
    with pytest.raises(IndexError, match="sample 949 is no longer held"):
        tail.part(949, 960)
