"""A fusion's stream and its long recordings equal the clip: whatever the chunks, within the latency."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hear_audioformer.fusion import Composition, Fusion, movement, statistics
from hear_audioformer.fusion.fusion import FRONTS
from hear_audioformer.fusion.statistics import Statistics
from hear_audioformer.fusion.waveform import UNKNOWN, Heard, Waveform
from tests.conftest import small_fusion
from tests.test_stream import blocks_of, chopped, held, noise, streamed

EQUAL = 2e-5
LENGTHS = [1, 399, 16000, 16000 * 7 + 311]


@pytest.fixture
def model() -> Fusion:
    torch.manual_seed(0)
    return small_fusion().model()


@pytest.mark.parametrize("samples", LENGTHS)
def test_a_stream_and_a_long_file_equal_the_clip(model: Fusion, samples: int) -> None:
    clip = noise(samples)
    wanted, centres = model.timestamps(clip[None])
    frames, times = streamed(model, chopped(clip))
    assert torch.allclose(times, centres[0], atol=1e-3)
    assert torch.allclose(frames, wanted[0], atol=EQUAL)
    parts = list(model.timestamps_of(blocks_of(clip)))
    assert torch.allclose(torch.cat([part for _, part in parts]), wanted[0], atol=EQUAL)
    assert torch.allclose(model.scene_of(blocks_of(clip)), model.scene(clip[None])[0], atol=EQUAL)


@pytest.mark.parametrize("options", [{"hop_ms": 20}, {"hop": "fast"}, {"batch_size": 3}])
def test_options_reach_the_stream(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = small_fusion().model(**options)
    clip = noise(16000 * 3)
    assert torch.allclose(streamed(model, chopped(clip))[0], model.timestamps(clip[None])[0][0], atol=EQUAL)


def test_another_rate(model: Fusion) -> None:
    clip = noise(44100 * 2)
    frames, _ = streamed(model, [clip], sample_rate=44100)
    assert torch.allclose(frames, streamed(model, chopped(clip), sample_rate=44100)[0], atol=EQUAL)


def test_frames_come_within_the_latency(model: Fusion) -> None:
    clip, chunk = noise(16000 * 6), 160
    given = 0

    def chunks() -> Iterator[Tensor]:
        nonlocal given
        for part in clip.split(chunk):
            given += len(part)
            yield part

    late = [(given / 16 - time) * (given < len(clip)) for time, _ in model.stream(chunks())]  # but of those at the end
    assert 0.5 * model.latency_ms < max(late) <= model.latency_ms + chunk / 16
    assert model.latency_ms >= max(part.latency_ms for part in model.models)


def test_a_latency_that_front_ends_cannot_have(model: Fusion) -> None:
    with pytest.raises(ValueError, match=r"modulation takes 517\.5 ms; stream a model without it"):
        model.stream([noise(9000)], latency_ms=100)
    with pytest.raises(ValueError, match="is not a number"):
        model.stream([noise(9000)], latency_ms="1")  # type: ignore[arg-type]


@pytest.mark.parametrize("chunks", [[], [torch.zeros(0)]])
def test_no_samples_are_refused(model: Fusion, chunks: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        list(model.stream(chunks))
    for call in (lambda: model.scene_of(lambda: iter(chunks)), lambda: list(model.timestamps_of(lambda: iter(chunks)))):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="at least one"):
            call()


def test_a_bad_chunk_is_named(model: Fusion) -> None:
    with pytest.raises(ValueError, match="NaN or infinite samples in chunk 1"):
        list(model.stream([noise(9000), torch.tensor([torch.nan])]))


@pytest.mark.parametrize("front", FRONTS)
def test_front_ends_in_blocks_equal_the_whole_bit_for_bit(front: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SPECTRA_A_BLOCK", 7)
    for module in (statistics, movement):
        monkeypatch.setattr(module, "FRAMES_A_BLOCK", 40)
    clip, made = noise(16000 * 3 + 77), FRONTS[front]()
    whole = made.statistics(Waveform(clip[None]))
    assert torch.equal(made.statistics(Heard(iter(clip[None].split(999, dim=1)), len(clip))), whole)
    assert torch.equal(made.scene_of(blocks_of(clip, 801)), whole[0])


def test_what_was_asked_for_is_forgotten() -> None:
    clip = torch.arange(1000.0)[None]
    heard = Heard(iter(clip.split(100, dim=1)))
    assert heard.samples == UNKNOWN
    assert torch.equal(heard.part(250, 430), clip[:, 250:430])
    with pytest.raises(IndexError, match="sample 200 is no longer held"):
        heard.part(200, 300)
    assert torch.equal(heard.part(900, 2000), clip[:, 900:])
    assert heard.samples == 1000


def test_long_recordings_hold_no_more_than_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of front ends; the models' own streams are tested with them."""
    monkeypatch.setattr(statistics, "SPECTRA_A_BLOCK", 64)
    for module in (statistics, movement):
        monkeypatch.setattr(module, "FRAMES_A_BLOCK", 400)
    peaks = []
    for minutes in (1, 4):
        peak = 0

        def blocks(seconds: int = 60 * minutes) -> Iterator[np.ndarray]:
            nonlocal peak
            for number in range(seconds):
                yield noise(16000, number % 3).numpy()
                if number % 20 == 0:
                    peak = max(peak, held())

        for front in FRONTS.values():
            front().scene_of(blocks)
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 3 * 60 * 100 * 2 * statistics.BANDS + 200_000, peaks  # Modulation ranks all frames


def test_a_fusion_of_front_ends_alone_does_not_stream() -> None:
    config = small_fusion().config
    fronts = tuple(part for part in config.parts if part.front)
    alone = Composition(type(config)(parts=fronts)).model()
    assert isinstance(alone.leading, Statistics)
    with pytest.raises(TypeError, match="no model to follow"):
        alone.stream([noise(9000)])
