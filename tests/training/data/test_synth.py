"""Synthetic sounds are what their names say, by measurement; a seed gives them again; levels keep their bounds."""

import math

import pytest
import torch
from torch import Tensor

from training.data import synth
from training.data.draws import log_uniform

RATE = 16000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def spectrum(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies, and power in float64 under a window whose side lobes do not matter."""
    window = torch.blackman_window(audio.shape[-1], periodic=False, dtype=torch.float64)
    power = torch.fft.rfft(audio.double() * window).abs().square()
    return torch.fft.rfftfreq(audio.shape[-1], 1 / RATE, dtype=torch.float64), power


@pytest.mark.parametrize("name", [*synth.KINDS, "synthesise", "envelopes"])
def test_seed_shape_and_variety(name: str) -> None:
    make = getattr(synth, name)
    audio = make(24, 4001, RATE, seeded(1))
    assert audio.shape == (24, 4001)
    assert audio.dtype == torch.float32
    assert audio.isfinite().all()
    assert (audio.abs().amax(1) > 1e-3).all()
    assert torch.equal(audio, make(24, 4001, RATE, seeded(1)))
    assert not torch.equal(audio, make(24, 4001, RATE, seeded(2)))
    assert len({tuple(clip[::100].tolist()) for clip in audio}) > (10 if name == "envelopes" else 23)  # some are flat


@pytest.mark.parametrize(("samples", "rate"), [(1, 16000), (2, 16000), (100, 8000), (3001, 44100)])
def test_any_length_and_rate(samples: int, rate: int) -> None:
    for seed in range(5):
        audio = synth.synthesise(16, samples, rate, seeded(seed))
        for change in (synth.gain, synth.mix, synth.reverberate):
            changed = change(audio, seeded(seed))
            assert changed.shape == (16, samples)
            assert changed.isfinite().all()
            assert changed.abs().max() <= 1 + 1e-6


def test_synthesise_has_all_kinds_no_dc_and_levels_in_range(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, int] = {}

    def counted(name: str, make: synth.Source) -> synth.Source:
        def source(batch: int, samples: int, rate: int, generator: torch.Generator) -> Tensor:
            drawn[name] = batch
            return make(batch, samples, rate, generator)

        return source

    for name, make in synth.KINDS.items():
        monkeypatch.setitem(synth.KINDS, name, counted(name, make))
    audio = synth.synthesise(300, 8000, RATE, seeded())
    assert sum(drawn.values()) == 300
    assert min(drawn.values()) > 20
    assert len(drawn) == 6
    peaks = 20 * audio.abs().amax(1).log10()
    assert peaks.min() > -30.1
    assert peaks.min() < -25
    assert -5 < peaks.max() <= 0
    assert (audio.mean(1).abs() < 1e-6).all()


def test_synthesise_shuffles_the_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for index, name in enumerate(list(synth.KINDS)):
        frequency = 500.0 * (index + 1)
        wave = torch.sin(2 * math.pi * frequency * torch.arange(8000) / RATE)
        monkeypatch.setitem(synth.KINDS, name, lambda batch, *_, wave=wave: wave.repeat(batch, 1))
    frequencies, power = spectrum(synth.synthesise(60, 8000, RATE, seeded()))
    found = (frequencies[power.argmax(1)] / 500).round()
    assert set(found.tolist()) == {1, 2, 3, 4, 5, 6}
    assert not torch.equal(found, found.sort().values)


def test_silence_between_sounds_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """DC is taken where the sound is: an offset over the whole clip would sound in its gaps."""
    monkeypatch.setattr(synth, "KINDS", {"offset": lambda batch, *_: torch.rand(batch, 16000) + 3})
    half = (torch.arange(16000) < 8000).float()
    monkeypatch.setattr(synth, "envelopes", lambda batch, *_: half.repeat(batch, 1))
    audio = synth.synthesise(4, 16000, RATE, seeded())
    assert (audio[:, 8000:] == 0).all()
    assert (audio.mean(1).abs() < 1e-6).all()


def test_a_sound_that_its_envelope_would_miss_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    late = torch.zeros(16000)
    late[12000:] = torch.sin(torch.arange(4000) * 0.5)
    monkeypatch.setattr(synth, "KINDS", {"late": lambda batch, *_: late.repeat(batch, 1)})
    monkeypatch.setattr(synth, "envelopes", lambda batch, *_: (1.0 - late.sign().abs()).repeat(batch, 1))
    audio = synth.synthesise(2, 16000, RATE, seeded())
    assert torch.nn.functional.cosine_similarity(audio, late.expand(2, -1)).min() > 0.99


def test_partials_are_exact() -> None:
    """Against the sum written out in float64: blocks, ratios and phases, far into a clip."""
    samples = 30001
    cycles = 777.7 * torch.arange(samples, dtype=torch.float64)[None] / RATE
    ratio, loudness = torch.tensor([[1.0, 2.003, 7.31]]), torch.tensor([[1.0, 0.5, 0.25]])
    start = torch.tensor([[0.1, 0.7, 0.4]])
    wanted = (
        loudness[..., None] * torch.sin(2 * math.pi * (cycles[:, None] * ratio[..., None] + start[..., None]))
    ).sum(1)
    assert (synth.partials(cycles, ratio, loudness, start) - wanted).abs().max() < 1e-4


def test_tones_have_the_pitch_that_was_drawn() -> None:
    """The pitch is drawn first. All energy lies at its multiples, as far as vibrato and stiffness move them."""
    audio = synth.tones(40, 32000, RATE, seeded(5))
    pitch = log_uniform(40.0, 2000.0, (40, 1), seeded(5)).double()
    frequencies, power = spectrum(audio)
    strongest = frequencies[power.argmax(1)][:, None]
    number = (strongest / pitch).round()
    assert (number >= 1).all()
    low = (strongest / (number * pitch) - 1).abs()[number < 4]  # stiffness of 3e-3 moves the third by 1.3 %
    assert len(low) > 25
    assert low.max() < 0.055
    steady = low < 0.002
    assert steady.float().mean() > 0.3
    assert power[frequencies.expand_as(power) < 0.9 * pitch - 4].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize(("linear", "middle"), [(True, 2100.0), (False, math.sqrt(200.0 * 4000.0))])
@pytest.mark.parametrize("down", [False, True])
def test_a_sweep_sweeps(linear: bool, middle: float, down: bool) -> None:
    ends = (4000.0, 200.0) if down else (200.0, 4000.0)
    first, last = (column(end).double() for end in ends)
    cycles = synth.sweep(first, last, column(1.0), torch.tensor([[linear]]), 2 * RATE, RATE)
    audio = synth.sine(cycles)
    for centre, wanted in ((0.03, ends[0]), (0.5, middle), (0.97, ends[1]), (1.03, ends[0]), (1.5, middle)):
        place = round(centre * RATE)
        frequencies, power = spectrum(audio[0, place - 400 : place + 400])
        expected = wanted + (4000 - 200) * 0.03 * (1 if linear else 0.4) * (0 if wanted == middle else 1)
        assert abs(float(frequencies[power.argmax()]) - expected) < 0.1 * wanted + 130
    slope = (cycles[:, 1:] - cycles[:, :-1])[0, [0, RATE // 2, RATE - 2]] * RATE
    assert slope.tolist() == pytest.approx([ends[0], middle, ends[1]], rel=2e-3)


def test_chirps_move_and_fill_the_band() -> None:
    audio = synth.chirps(60, 16000, RATE, seeded())
    transform = torch.stft(audio, 400, 160, window=torch.hann_window(400), return_complex=True).abs()
    track = transform.argmax(1) * 40.0
    assert (track.amax(1) - track.amin(1) > 200).float().mean() > 0.8
    assert track.min() < 200
    assert track.max() > 6000


def test_fm_swings_about_its_carrier() -> None:
    """The carrier is drawn first; the mean frequency of the analytic signal is near it, whatever the modulator."""
    audio = synth.fm(60, 32000, RATE, seeded(3)).double()
    carrier = log_uniform(60.0, 4800.0, (60, 1), seeded(3))[:, 0]
    one_sided = torch.fft.fft(audio)
    one_sided[:, 16000:] = 0
    analytic = torch.fft.ifft(one_sided)
    turns = (analytic[:, 1:] * analytic[:, :-1].conj()).angle().mean(1) * RATE / (2 * math.pi)
    assert ((turns / carrier - 1).abs() < 0.02).float().mean() > 0.5
    _, power = spectrum(audio)
    lines = (power > 0.01 * power.amax(1, keepdim=True)).sum(1)
    assert (lines > 20).float().mean() > 0.25  # not bare carriers


@pytest.mark.parametrize("slope", [-1.0, 0.0, 1.0, 2.0])
def test_noise_has_its_colour(slope: float) -> None:
    none = column(0.0).expand(8, 1)
    audio = synth.shaped_noise(none + slope, none, none + math.inf, none + 4, 32000, RATE, seeded())
    frequencies, power = spectrum(audio)
    octaves = 100.0 * 2.0 ** torch.arange(7)
    bands = [power[:, (frequencies >= low) & (frequencies < 2 * low)].mean().log10() for low in octaves[:-1]]
    fitted = torch.stack(bands).diff().mean() / math.log10(2.0)
    assert float(fitted) == pytest.approx(-slope, abs=0.1)


@pytest.mark.parametrize(("low", "high"), [(500.0, 1000.0), (0.0, 800.0), (3000.0, math.inf)])
def test_noise_keeps_to_its_band(low: float, high: float) -> None:
    none = column(0.0).expand(8, 1)
    audio = synth.shaped_noise(none, none + low, none + high, none + 8, 16000, RATE, seeded())
    frequencies, power = spectrum(audio)
    density = power.mean(0)
    passed = density[(frequencies > 1.15 * low) & (frequencies < high / 1.15)].mean()
    assert density[(frequencies < low / 2) | (frequencies > 2 * high)].mean() < 1e-3 * passed
    for edge in (low, high):
        if 0 < edge < RATE / 2:
            near = density[(frequencies > 0.96 * edge) & (frequencies < 1.04 * edge)].mean()
            assert float(near / passed) == pytest.approx(0.5, abs=0.2)


def test_impulses_are_as_many_and_as_even_as_told() -> None:
    rate = column(7.0, 50.0, 123.0)
    even = synth.impulses(rate, torch.zeros(3, 1), torch.ones(3, 1), 2 * RATE, RATE, seeded())
    for wanted, audio in zip(rate[:, 0].tolist(), even, strict=True):
        places = audio.nonzero()[:, 0]
        assert len(places) == pytest.approx(2 * wanted, abs=1)
        assert ((places.diff() - RATE / wanted).abs() <= 1).all()
    late = synth.impulses(rate, torch.ones(3, 1), torch.ones(3, 1), 2 * RATE, RATE, seeded())
    for wanted, audio in zip(rate[:, 0].tolist(), late, strict=True):
        places = audio.nonzero()[:, 0]
        assert len(places) == pytest.approx(2 * wanted, abs=2)
        assert places.diff().float().std() > 0.2 * RATE / wanted
    some = synth.impulses(rate, torch.zeros(3, 1), column(0.5, 0.5, 0.5), 2 * RATE, RATE, seeded())
    assert (some[2] > 0).sum() == pytest.approx(123, abs=35)


def test_ring_is_the_sum_of_decaying_partials() -> None:
    frequency, decay = torch.tensor([[440.0, 1234.5]]), torch.tensor([[2.0, 9.0]])
    size = torch.tensor([[1.0 + 0.5j, -0.3j]])
    time = torch.arange(20001, dtype=torch.float64) / RATE
    wave = size[..., None] * torch.exp((2j * math.pi * frequency.double() - decay.double())[..., None] * time)
    assert (synth.ring(frequency, decay, size, 20001, RATE) - wave.real.sum(1)).abs().max() < 1e-5


@pytest.mark.parametrize("loss", [1.0, 0.99])
def test_a_string_decays_as_the_loop_of_karplus_and_strong_does(loss: float) -> None:
    """Against the recursion itself: noise that goes round a delay line of 80 samples and an average of two."""
    delay, generator = 80, seeded()
    line = [*(torch.rand(delay, generator=generator, dtype=torch.float64) * 2 - 1).tolist()]
    for n in range(delay, 20000):
        line.append(loss * 0.5 * (line[n - delay] + (line[n - delay - 1] if n > delay else 0.0)))
    sound, period = torch.tensor(line, dtype=torch.float64), delay + 0.5
    number, trips, width = torch.arange(1, 13), 40, 20 * delay + 10  # twenty trips
    window = torch.hann_window(width, dtype=torch.float64)
    starts = (width, width + trips * width // 20)
    early, later = (torch.fft.rfft(sound[at : at + width] * window).abs()[20 * number] for at in starts)
    pitch = torch.tensor([[RATE / period]])
    decay = synth.loop_decay(pitch * number, pitch, column(loss), column(0.5), RATE)[0]
    assert torch.allclose((early / later).log().float(), decay * trips * period / RATE, rtol=0.01, atol=0.002)


def test_plucks_begin_at_once_and_die_away_from_the_top() -> None:
    audio = synth.plucks(40, 32000, RATE, seeded())
    begin = (audio.abs() > 1e-3 * audio.abs().amax(1, keepdim=True)).float().argmax(1)
    assert begin.max() <= 0.4 * 32000 + 50
    assert begin.float().std() > 1000
    early, late = (
        torch.stack([clip[at + off : at + off + 4000] for clip, at in zip(audio, begin, strict=True)])
        for off in (0, 8000)
    )
    assert (late.square().sum(1) < early.square().sum(1)).float().mean() > 0.95
    frequencies, power = spectrum(early)
    _, after = spectrum(late)
    centroids = [(frequencies * p).sum(1) / p.sum(1) for p in (power, after)]
    assert (centroids[1] < centroids[0]).float().mean() > 0.9
