"""Envelopes, rooms, mixtures and levels are what was asked for, by measurement, and stay within bounds."""

import pytest
import torch
from torch import Tensor

from training.data import synth
from training.data.effects import _gated, colour, convolve, draw_rooms, fast_length, room_responses, shift

RATE = 16000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_envelopes_are_bounded_and_do_not_click() -> None:
    envelope = synth.envelopes(200, 16000, RATE, seeded())
    assert envelope.min() >= 0
    assert torch.allclose(envelope.amax(1), torch.ones(200))
    assert envelope.diff().abs().max() <= 1 / 15  # 1 ms from nothing to all
    flat = (envelope.amin(1) == 1).float().mean()
    assert 0.1 < flat < 0.3
    assert ((envelope == 0).float().mean(1) > 0.2).float().mean() > 0.2  # struck, swelling or gated


def test_gates_have_edges_of_5_ms_and_are_never_shut_throughout() -> None:
    gate = _gated(300, torch.arange(300) / 1000, seeded())
    assert (gate.amax(1) == 1).all()
    assert gate.diff().abs().max() <= 0.34  # a fifth a millisecond, a third where the clip ends
    assert 0.4 < gate.mean() < 0.9


def fitted_rt60(response: Tensor) -> Tensor:
    """Schroeder's backward integral, a line from -5 to -25 dB."""
    energy = response.double().square().flip(-1).cumsum(-1).flip(-1)
    decibels = 10 * (energy / energy[:, :1]).log10()
    down = [(decibels < level).float().argmax(-1) for level in (-5.0, -25.0)]
    return 3 * (down[1] - down[0]) / RATE


@pytest.mark.parametrize("rt60", [0.15, 0.5, 1.0, 1.8])
def test_rooms_have_their_reverberation_time(rt60: float) -> None:
    response = room_responses(column(rt60).expand(8, 1), column(0.0).expand(8, 1), 3 * RATE, RATE, seeded())
    measured = fitted_rt60(response[:, 400:])
    assert ((measured / rt60 - 1).abs() < 0.2).all()


@pytest.mark.parametrize("ratio", [-6.0, 0.0, 12.0])
def test_rooms_have_their_direct_sound(ratio: float) -> None:
    response = room_responses(column(0.6).expand(8, 1), column(ratio).expand(8, 1), RATE, RATE, seeded())
    direct, tail = response[:, 0].square(), response[:, 1:].square().sum(1)
    assert torch.allclose(10 * (direct / tail).log10(), torch.full((8,), ratio), atol=0.1)
    assert (response[:, 1:16] == 0).all()  # the nearest wall


def test_reverberate_is_the_room_that_was_drawn() -> None:
    knock = torch.zeros(40, 3 * RATE)
    knock[:, 100] = 0.5
    wet = synth.reverberate(knock, seeded(7))
    rt60, _ = draw_rooms(40, seeded(7))
    measured = fitted_rt60(wet[:, 500:])
    assert ((measured / rt60[:, 0] - 1).abs() < 0.2).all()
    assert wet[:, :100].abs().max() < 1e-6  # nothing before its cause
    assert torch.allclose(wet.abs().amax(1), torch.full((40,), 0.5))
    assert not torch.equal(wet, synth.reverberate(knock, seeded(8)))


def test_mix_adds_another_clip_of_the_batch() -> None:
    audio = torch.zeros(4, 1001)
    audio[2, 500] = 0.1
    places, levels = set(), []
    for seed in range(40):
        mixed = synth.mix(audio, seeded(seed))
        assert mixed[2].tolist() == audio[2].tolist()  # its guest is one of the silences
        heard = mixed[[0, 1, 3]].nonzero()
        assert len(heard) == 1
        places.add(int(heard[0, 1]))
        levels.append(float(20 * (mixed[[0, 1, 3]].max() / 0.1).log10()))
    assert len(places) > 30
    assert min(places) < 100
    assert max(places) > 900
    assert -20.01 <= min(levels) < -15
    assert 2 < max(levels) <= 6.01


def test_mix_does_not_clip() -> None:
    audio = synth.synthesise(50, 4000, RATE, seeded())
    audio = audio / audio.abs().amax(1, keepdim=True)
    mixed = synth.mix(audio, seeded())
    assert float(mixed.abs().max()) == pytest.approx(1.0, abs=1e-6)
    assert (mixed.abs() > 0.999).float().mean() < 0.02


def test_gain_changes_the_level_only() -> None:
    audio = torch.rand(200, 50, generator=seeded()) - 0.5
    louder = synth.gain(audio, seeded(1))
    ratio = louder / audio
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4)
    decibels = 20 * ratio[:, 0].log10()
    assert -24.01 <= decibels.min() < -20
    assert decibels.max() > 5
    assert float(louder.abs().max()) == pytest.approx(1.0, abs=1e-6)


def test_convolve_and_shift() -> None:
    audio, response = torch.randn(3, 50, generator=seeded()), torch.randn(3, 20, generator=seeded(1))
    wanted = [
        [sum(float(r[k] * a[n - k]) for k in range(min(n + 1, 20))) for n in range(50)]
        for a, r in zip(audio, response, strict=True)
    ]
    assert torch.allclose(convolve(audio, response), torch.tensor(wanted), atol=1e-5)
    clip = torch.arange(1.0, 5.0).repeat(3, 1)
    moved = shift(clip, torch.tensor([[0], [1], [-2]]))
    assert moved.tolist() == [[1, 2, 3, 4], [0, 1, 2, 3], [3, 4, 0, 0]]


def test_fast_lengths() -> None:
    for samples in (1, 2, 3, 7, 31999, 32000, 32001, 48000):
        size = fast_length(samples)
        assert samples <= size <= max(1.35 * samples, 1)
        for prime in (2, 3, 5):
            while size % prime == 0:
                size //= prime
        assert size == 1


def test_colour_is_a_smooth_response_of_12_dB_at_most() -> None:  # noqa: N802
    impulse = torch.zeros(40, 4096)
    impulse[:, 100] = 0.5
    heard = colour(impulse, seeded())
    assert torch.allclose(heard.abs().amax(1), torch.full((40,), 0.5))
    power = torch.fft.rfft(heard).abs()[:, 20:].square()
    decibels = 10 * power.log10()
    spread = decibels.amax(1) - decibels.amin(1)
    assert (spread < 25.0).all()
    assert spread.mean() > 8.0
    assert decibels.diff().abs().max() < 1.5
    assert not torch.allclose(decibels[0], decibels[1], atol=1.0)
    assert torch.equal(colour(impulse, seeded()), heard)
