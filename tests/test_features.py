"""The front ends: Kaldi's numbers, any run of frames, any device, export."""

import pytest
import torch
from torch import Tensor
from torch.export import Dim, export

from hear_audioformer.features import KaldiFilterBank, LogMel
from tests.oracles import TORCH, torchaudio_kaldi

FRONT_ENDS = [LogMel, KaldiFilterBank]


def clip(kind: str, sample_rate: int) -> Tensor:
    """A test signal, (samples,)."""
    generator = torch.Generator().manual_seed(1)
    seconds = 10.0 if kind == "long" else 0.03 if kind == "short" else 1.0
    time = torch.arange(int(seconds * sample_rate)) / sample_rate
    noise = torch.randn(len(time), generator=generator)
    if kind == "sine":
        return 0.5 * torch.sin(2 * torch.pi * 3000 * time)
    if kind == "music":
        chord = sum(torch.sin(2 * torch.pi * f * time) / (i + 1) for i, f in enumerate((220.0, 277.2, 329.6, 440.0)))
        return 0.2 * torch.as_tensor(chord) * torch.exp(-2 * (time % 0.5)) + 1e-4 * noise
    return 0.1 * noise


@pytest.mark.parametrize("sample_rate", [16000, 32000])
@pytest.mark.parametrize("kind", ["sine", "noise", "music", "short", "long"])
def test_filter_bank_is_kaldis(kind: str, sample_rate: int) -> None:
    """A pure tone is the hard case: beside it, bands hold nothing but float32 rounding, and even that must agree."""
    audio = clip(kind, sample_rate)
    wanted = torchaudio_kaldi().fbank(
        audio[None],
        htk_compat=True,
        sample_frequency=sample_rate,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )
    found = KaldiFilterBank(sample_rate)(torch.stack([audio, 0.3 * audio]))
    assert found.shape == (2, *wanted.shape)
    assert (found[0] - wanted).abs().max() < 1e-3


def test_log_mel_of_silence_is_the_floor() -> None:
    assert torch.allclose(LogMel()(torch.zeros(1, 16000)), torch.tensor(-15.942385), atol=1e-5)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("samples", [1, 100, 200, 201, 399, 400, 560, 16001])
def test_any_length_has_its_frames(front_end: type, samples: int) -> None:
    front = front_end()
    features = front(torch.rand(2, samples) - 0.5)
    assert features.shape == (2, front.count(samples), front.bands)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("cut", [1, 2, 50, 99])
def test_a_run_of_frames_needs_no_others(front_end: type, cut: int) -> None:
    front, audio = front_end(), torch.randn(2, 16001)
    total = front.count(16001)
    cut = min(cut, total - 1)
    pieces = torch.cat([front(audio, 0, cut), front(audio, cut, total)], dim=1)
    assert torch.allclose(pieces, front(audio), atol=1e-5)


@pytest.mark.skipif(TORCH < (2, 7), reason="torch 2.6 exports no FFT")
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_export_keeps_batch_and_length_free(front_end: type) -> None:
    front = front_end()
    program = export(front, (torch.randn(2, 16000),), dynamic_shapes=({0: Dim.AUTO, 1: Dim.AUTO},))
    audio = torch.randn(5, 23456)
    assert torch.equal(program.module()(audio), front(audio))


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_constants_are_buffers_and_follow_the_module(front_end: type) -> None:
    front = front_end().to("meta")
    assert {name for name, _ in front.named_buffers()} == {"window", "filters"}
    assert not front.state_dict()
    assert front(torch.empty(3, 16000, device="meta")).device.type == "meta"


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_rate_without_exact_frames_is_refused(front_end: type) -> None:
    with pytest.raises(ValueError, match="multiple of 200"):
        front_end(sample_rate=22051)
