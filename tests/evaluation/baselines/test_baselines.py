"""Baselines: HEAR modules that keep every rule, and what each of them is said to be."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.baselines import handmade, logmel, naive
from hear_audioformer.features import LOG_MEL, LogMel
from hear_audioformer.validate import check
from tests.conftest import small_encoder, write_model
from training import untrained


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "small.safetensors"))


@pytest.mark.parametrize(
    "module", [logmel, naive, handmade, untrained], ids=lambda module: module.__name__.rsplit(".")[-1]
)
def test_a_baseline_keeps_every_rule_of_the_validator(module: object, file: str) -> None:
    name = module.__name__  # type: ignore[attr-defined]
    result = {finding.rule: finding.detail for finding in check(name, file) if finding.level != "ok"}
    assert result == {}


def test_logmel_is_the_mean_and_deviation_of_the_bands() -> None:
    audio = torch.randn(1, 128000, generator=torch.Generator().manual_seed(0)) * 0.1
    frames = (LogMel(16000, 64)(audio, 0, 800)[0] - LOG_MEL.mean) / LOG_MEL.std
    model = logmel.load_model()
    expected = torch.cat([frames.mean(0), frames.std(0, correction=0)])
    assert model.scene_embedding_size == 128
    assert torch.allclose(logmel.get_scene_embeddings(audio, model)[0], expected, atol=0.02)
    frames, times = logmel.get_timestamp_embeddings(audio, model)
    assert (frames.shape[2], model.timestamp_embedding_size) == (1024, 1024)
    assert torch.diff(times[0]).unique().tolist() == [pytest.approx(40.0)]


def test_naive_is_projected_log_mel_of_centred_frames() -> None:
    """By librosa's convention: frames around 0, 250, 500 ms, edges reflected."""
    model = naive.load_model()
    assert (model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size) == (44100, 4096, 4096)
    audio = 0.1 * torch.randn(1, 44100, generator=torch.Generator().manual_seed(0))
    padded = np.pad(audio[0].numpy(), naive.N_FFT // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(naive.N_FFT) / naive.N_FFT)
    step = 44100 // 4
    frames = np.stack([padded[start : start + naive.N_FFT] for start in range(0, 44100 + 1, step)])
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    bands = np.log(power @ model.scenes.encoder.filters.numpy() + naive.EPSILON)
    expected = (bands @ model.scenes.encoder.projection.numpy()).mean(0)
    result = naive.get_scene_embeddings(audio, model)[0].numpy()
    assert result == pytest.approx(expected, abs=0.02 * np.abs(expected).max())
    _, times = naive.get_timestamp_embeddings(audio, model)
    assert torch.diff(times[0]).unique().tolist() == [pytest.approx(50.0)]


def test_the_projection_is_the_same_every_time() -> None:
    one, again, other = (naive.load_model(seed=seed).scenes.encoder.projection for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_untrained_has_the_shape_of_a_model_and_none_of_its_weights(encoder_method: str, tmp_path: Path) -> None:
    file = str(write_model(small_encoder(encoder_method), encoder_method, tmp_path / "small.safetensors"))
    theirs = small_encoder(encoder_method).state_dict()
    before = torch.random.get_rng_state()
    ours = untrained.load_model(file).encoder.state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in theirs.items()}
    drawn = [name for name in ours if ours[name].ndim == 2 and not torch.equal(ours[name], theirs[name])]
    assert len(drawn) > 6
    assert all(
        torch.equal(tensor, ours[name]) for name, tensor in untrained.load_model(file).encoder.state_dict().items()
    )
    other = untrained.load_model(file, seed=1).encoder.state_dict()
    assert all(not torch.equal(other[name], ours[name]) for name in drawn)


def test_untrained_takes_options_of_the_embedder_and_of_the_network(file: str) -> None:
    model = untrained.load_model(file, pool="mean", hop_ms=20)
    assert model.scene_embedding_size * 2 == untrained.load_model(file, pool="mean+std").scene_embedding_size
    assert untrained.load_model(size="tiny", depth=2).encoder.config.depth == 2


def test_the_hand_made_statistics_tell_a_tones_pitch() -> None:
    """Each step of a bin is 1/36 of an octave; the loudest bin is the tone's."""
    model = handmade.load_model()
    assert model.scene_embedding_size == 1974
    time = torch.arange(32000) / 16000
    bins = torch.tensor([100, 101, 180, 250])
    tones = torch.stack([0.5 * torch.sin(2 * torch.pi * 55.0 * 2 ** (b / 36) * time) for b in bins])
    vectors = handmade.get_scene_embeddings(tones, model)
    assert vectors[:, :252].argmax(1).tolist() == bins.tolist()
    louder = handmade.get_scene_embeddings(2 * tones, model)
    assert (louder - vectors)[0, 100] == pytest.approx(math.log(4), abs=1e-3)


def test_the_hand_made_statistics_tell_the_pace_of_a_change() -> None:
    """Noise that swells 16 times a second changes in smoothings of few frames, once a second in those of many."""
    model = handmade.load_model()
    time = torch.arange(64000) / 16000
    noise = 0.1 * torch.randn(64000, generator=torch.Generator().manual_seed(0))
    swelling = torch.stack([noise * (1.05 + torch.sin(2 * torch.pi * hertz * time)) for hertz in (16.0, 1.0)])
    energies = model.fronts[1](swelling)[:, : 6 * 40].reshape(2, 6, 40).mean(2)
    fast, slow = energies
    assert fast[1] > slow[1] + 1  # between smoothings over 30 and 60 ms
    assert slow[4] > fast[4] + 1  # between half a second and 250 ms
