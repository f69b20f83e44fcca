"""What a stream refuses, and with what words."""

from typing import Any

import numpy as np
import pytest
import torch

from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.stream import scene_of, timestamps_of
from tests.conftest import small_encoder
from tests.test_stream import blocks_of, noise


@pytest.mark.parametrize(
    ("chunk", "error", "message"),
    [
        (torch.tensor([0.0, torch.nan]), ValueError, "NaN or infinite samples in chunk 1"),
        (np.array([0.0, np.inf]), ValueError, "NaN or infinite samples in chunk 1"),
        (torch.full((9,), 1e18), ValueError, r"samples up to 1e\+18 in chunk 1: scale audio"),
        (torch.zeros(9, dtype=torch.int16), TypeError, "chunk 1 is .*int16: scale it to floats"),
        (np.zeros(9, np.complex64), TypeError, "samples are real numbers"),
        (torch.zeros(2, 900), ValueError, r"chunk 1 is \(2, 900\), not one waveform: average channels"),
        (torch.tensor(0.5), ValueError, r"chunk 1 is \(\), not one waveform"),
        ("text", TypeError, "chunk 1 is a str that makes no waveform"),
        (None, TypeError, "chunk 1 is a NoneType that makes no waveform"),
    ],
)
def test_a_bad_chunk_is_refused(chunk: Any, error: type[Exception], message: str) -> None:
    model = Embedder(small_encoder("msm-mae"))
    for call in (
        lambda: list(model.stream([noise(9), chunk])),
        lambda: list(timestamps_of(model, lambda: iter([noise(9), chunk]))),
        lambda: scene_of(model, lambda: iter([noise(9), chunk])),
    ):
        with pytest.raises(error, match=message.replace("chunk", "(chunk|block)")) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chunks", [[], [torch.zeros(0)], [np.zeros(0, np.float32)] * 3])
def test_no_samples_are_refused(encoder: Encoder, chunks: list[Any]) -> None:
    model = Embedder(encoder)
    for rate in (None, 44_100):
        with pytest.raises(ValueError, match="stream is empty: an embedding needs at least one sample"):
            list(model.stream(chunks, sample_rate=rate))
    for call in (scene_of, timestamps_of):
        with pytest.raises(ValueError, match="recording holds no samples: an embedding needs at least one"):
            list(call(model, lambda: iter(chunks)))


@pytest.mark.parametrize(
    ("chunks", "options", "error", "message"),
    [
        ("a.wav", {}, TypeError, "chunks is a str, not an iterable of waveforms"),
        (7, {}, TypeError, "chunks is a int, not an iterable of waveforms"),
        ([], {"sample_rate": 0}, ValueError, "sample_rate=0 is not a whole number of Hz"),
        ([], {"sample_rate": "16k"}, ValueError, "sample_rate='16k' is not a whole number of Hz"),
    ],
)
def test_wrong_arguments_are_refused_at_once(chunks: Any, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Embedder(small_encoder("msm-mae")).stream(chunks, **options)


def test_unsound_weights_are_refused(encoder: Encoder) -> None:
    with torch.no_grad():
        for parameter in encoder.blocks.parameters():
            parameter.fill_(torch.nan)
    model = Embedder(encoder)
    for call in (lambda: list(model.stream([noise(9000)])), lambda: scene_of(model, blocks_of(noise(9000)))):
        with pytest.raises(ValueError, match="NaN or infinite values in the embedding"):
            call()


def test_a_recording_that_changes_between_two_readings() -> None:
    readings = iter([[noise(900)], [noise(800)]])
    with pytest.raises(ValueError, match="the recording had 900 samples and then 800"):
        scene_of(Embedder(small_encoder("asit")), lambda: iter(next(readings)))
