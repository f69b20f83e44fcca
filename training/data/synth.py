"""Synthetic sounds without end, made where they are needed: a batch at a time, on the device of the generator.

Real corpora are thin where a model should learn plain physics: a tone's pitch, a sweep's slope, a noise's band, the
rate of a pulse, how a string dies away. Here each of these is drawn over its whole range. Every source has the form
``name(batch, samples, sample_rate, generator) -> (batch, samples)`` and is of its own natural level; ``synthesise``
draws one for each clip, gives it an envelope and a level. One core of a CPU makes some hundred clips of 2 s a second
(``python -m training.data.synth`` says how many), and no step of it is a loop over clips.

Phases are exact: they are counted in cycles, in float64, and wrapped before they become float32.
"""

import math
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor

from .draws import chance, integers, log_uniform, normal, one_of, uniform
from .effects import TINY, amplitude, convolve, envelopes, fast_length, gain, mix, peak, reverberate, shift

BLOCK = 128  # samples over which a phase may run on in float32
PARTIALS = 24  # of a tone
STRINGS = 128  # partials of a string


def synthesise(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Clips of random kinds with random envelopes and levels (-30 to 0 dB peak), in [-1, 1] and without DC."""
    counts = integers(0, len(KINDS), (batch,), generator).bincount(minlength=len(KINDS)).tolist()
    groups = [make(n, samples, sample_rate, generator) for make, n in zip(KINDS.values(), counts, strict=True) if n]
    order = uniform(0.0, 1.0, (batch,), generator).argsort()
    return finished(torch.cat(groups)[order], sample_rate, generator)


def finished(audio: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Sources (batch, samples) -> the same with random envelopes and levels, without DC."""
    batch, samples = audio.shape
    envelope = envelopes(batch, samples, sample_rate, generator)
    heard = peak(audio * envelope) > 0.01 * peak(audio)  # else it falls between the sounds: a late pluck, a lone click
    envelope = torch.where(heard, envelope, 1.0)
    weight = envelope.mean(-1, keepdim=True)  # the DC goes where the sound is, so that its silences stay silent
    audio = (audio - (audio * envelope).mean(-1, keepdim=True) / weight) * envelope
    level = amplitude(uniform(-30.0, 0.0, (batch, 1), generator))
    return audio * (level / peak(audio).clamp(min=TINY))


def tones(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Harmonic tones: 1 to 24 partials, some odd ones only, some stretched as stiff strings stretch them, vibrato."""
    pitch = log_uniform(40.0, min(2000.0, sample_rate / 4), (batch, 1), generator)
    return harmonic(pitch, samples, sample_rate, generator)


def harmonic(pitch: Tensor, samples: int, sample_rate: int, generator: torch.Generator, sway: float = 0.04) -> Tensor:
    """Harmonic tones of given pitches in Hz, (batch, 1), whose vibrato is up to a share ``sway`` of them."""
    batch, column = len(pitch), pitch.shape
    depth = uniform(0.0, sway, column, generator) * chance(0.5, column, generator)
    vibrato = 2 * math.pi * log_uniform(2.0, 8.0, column, generator)
    start = uniform(0.0, 2 * math.pi, column, generator)
    late = (depth / vibrato) * (torch.sin(vibrato * _time(samples, sample_rate, generator) + start) - start.sin())
    cycles = pitch.double() * (_time(samples, sample_rate, generator, torch.float64) + late)

    number = torch.arange(1, PARTIALS + 1, device=generator.device).float()
    stiffness = log_uniform(1e-6, 3e-3, column, generator) * chance(0.5, column, generator)
    ratio = number * (1 + stiffness * number.square()).sqrt()
    slope = uniform(0.0, 2.5, column, generator)
    loudness = number**-slope * uniform(0.2, 1.0, (batch, PARTIALS), generator)
    loudness = loudness * (number <= integers(1, PARTIALS + 1, column, generator))
    loudness = loudness * ((number % 2 == 1) | chance(0.75, column, generator))
    loudness = loudness * (pitch * ratio * 1.04 < sample_rate / 2)
    return partials(cycles, ratio, loudness, uniform(0.0, 1.0, (batch, PARTIALS), generator))


def chirps(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Sweeps, up or down, linear or exponential in frequency, once or up to four times in a clip."""
    column = (batch, 1)
    lowest, highest, ends = 40.0, 0.45 * sample_rate, (batch, 2)
    linear = chance(0.5, column, generator)
    even, octaves = uniform(lowest, highest, ends, generator), log_uniform(lowest, highest, ends, generator)
    first, last = torch.where(linear, even, octaves).double().split(1, dim=-1)
    length = samples / sample_rate / integers(1, 5, column, generator)
    return sine(sweep(first, last, length, linear, samples, sample_rate))


def sweep(first: Tensor, last: Tensor, length: Tensor, linear: Tensor, samples: int, sample_rate: int) -> Tensor:
    """Cycles since the start of sweeps that begin anew after ``length`` seconds; all arguments (batch, 1)."""
    seconds = torch.arange(samples, device=first.device, dtype=torch.float64) / sample_rate
    done = (seconds / length).frac()
    straight = first * done + (last - first) * done.square() / 2
    growth = torch.log(last / first)
    growth = torch.where(growth.abs() < 1e-6, 1e-6, growth)
    return length * torch.where(linear, straight, first * torch.expm1(growth * done) / growth)


def fm(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Frequency modulation, from bells to sirens; depth falls off over time in half of them, and never aliases."""
    column = (batch, 1)
    seconds = _time(samples, sample_rate, generator)
    exact = _time(samples, sample_rate, generator, torch.float64)
    carrier = log_uniform(60.0, 0.3 * sample_rate, column, generator)
    ratio = torch.where(
        chance(0.5, column, generator),
        one_of([0.25, 0.5, 1.0, 1.4, 2.0, 3.0, 3.5, 5.0], column, generator),
        log_uniform(0.002, 2.0, column, generator),
    )
    modulator = carrier * ratio
    room = ((0.5 * sample_rate - carrier) / modulator - 1).clamp(min=0.0)  # Carson's rule
    index = torch.minimum(log_uniform(0.3, 30.0, column, generator), room)
    index = torch.minimum(index, 0.9 / ratio + 1.0)  # no frequency far below zero
    decay = log_uniform(0.3, 6.0, column, generator) * chance(0.5, column, generator)
    swing = index * torch.exp(-decay * seconds) * sine(modulator.double() * exact)
    return torch.sin(2 * math.pi * _wrapped(carrier.double() * exact) + swing)


def noise(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Gaussian noise, from violet to beyond brown, whole or behind a low, high or band pass of random steepness."""
    column = (batch, 1)
    slope = uniform(-1.0, 2.5, column, generator)
    middle = log_uniform(60.0, 0.45 * sample_rate, column, generator)
    width = 2.0 ** uniform(0.05, 2.0, column, generator)  # half the band
    low = torch.where(chance(0.5, column, generator), middle / width, 0.0)
    high = torch.where(chance(0.5, column, generator), middle * width, math.inf)
    order = log_uniform(1.0, 16.0, column, generator)
    return shaped_noise(slope, low, high, order, samples, sample_rate, generator)


def shaped_noise(
    slope: Tensor, low: Tensor, high: Tensor, order: Tensor, samples: int, sample_rate: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Noise whose power falls as f^-slope (flat below 20 Hz) between Butterworth edges at ``low`` and ``high`` Hz.

    Edges of 0 Hz and infinity are none; ``order`` is the edges'. All parameters are (batch, 1).
    """
    batch, size = len(slope), fast_length(samples)
    frequency = torch.fft.rfftfreq(size, 1 / sample_rate, device=generator.device)
    octaves = frequency.clamp(min=20.0).log()
    nepers = -0.5 * slope * (octaves - math.log(1000.0))
    below = torch.exp((2 * order * (low.log() - octaves)).clamp(max=80.0))  # exp(-inf) where there is no edge
    above = torch.exp((2 * order * (octaves - high.log())).clamp(max=80.0))
    shape = torch.exp(nepers) * ((1 + below) * (1 + above)).rsqrt()
    shape[:, 0] = 0.0
    spectrum = torch.view_as_complex(normal((batch, len(frequency), 2), generator)) * shape
    return torch.fft.irfft(spectrum, n=size)[:, :samples]


def clicks(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Trains of impulses, from single knocks to a buzz, even or scattered, each ringing for an instant."""
    column = (batch, 1)
    rate = log_uniform(1.0, min(200.0, sample_rate / 8), column, generator)
    jitter = uniform(0.0, 1.0, column, generator) * chance(0.6, column, generator)
    kept = uniform(0.4, 1.0, column, generator)
    pulses = impulses(rate, jitter, kept, samples, sample_rate, generator)
    seconds = _time(max(2, sample_rate // 20), sample_rate, generator)
    pitch = log_uniform(200.0, 0.45 * sample_rate, column, generator)
    ring = torch.sin(2 * math.pi * pitch * seconds) * uniform(0.0, 2.0, column, generator)
    hiss = normal((batch, len(seconds)), generator) * uniform(0.0, 1.0, column, generator)
    decay = log_uniform(80.0, 2000.0, column, generator)
    body = (ring + hiss) * torch.exp(-decay * seconds) * chance(0.75, column, generator)
    body[:, 0] = 1.0
    return convolve(pulses, body)


def impulses(
    rate: Tensor, jitter: Tensor, kept: Tensor, samples: int, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """One impulse in each period of ``rate`` Hz, late by a random part, up to ``jitter``, of the period; a share of
    them ``kept``, of random height. The clip starts anywhere in a period, and holds an impulse whatever happens."""
    start = uniform(0.0, 1.0, rate.shape, generator)
    cycles = rate.double() * torch.arange(samples + 1, device=generator.device) / sample_rate + start
    number = cycles.floor().long()
    most = int(samples / 8) + 3  # periods have 8 samples at least
    late = uniform(0.0, 1.0, (len(rate), most), generator) * jitter * (1 - rate / sample_rate)
    height = uniform(0.3, 1.0, (len(rate), most), generator)
    height = height * (uniform(0.0, 1.0, height.shape, generator) < kept)
    gone = (cycles - number) >= late.gather(1, number)  # whether this period's impulse was already
    struck = gone[:, 1:] & ((number[:, 1:] != number[:, :-1]) | ~gone[:, :-1])
    audio = struck * height.gather(1, number[:, 1:])
    audio[:, 0] = torch.where(peak(audio)[:, 0] > 0, audio[:, 0], 1.0)
    return audio


def plucks(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Plucked strings after Karplus and Strong, as the sum of the partials that their loop has.

    The loop's noise burst gives every partial a random size and phase, the place of the pluck silences some, and one
    trip round the loop costs each what the loop's filter takes from it.
    """
    pitch = log_uniform(50.0, min(1000.0, sample_rate / 8), (batch, 1), generator)
    return strings(pitch, samples, sample_rate, generator)


def strings(pitch: Tensor, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Plucked strings of given pitches in Hz, (batch, 1)."""
    column = pitch.shape
    number = torch.arange(1, STRINGS + 1, device=generator.device).float()
    stiffness = log_uniform(1e-7, 3e-4, column, generator)
    frequency = pitch * number * (1 + stiffness * number.square()).sqrt()
    loss = torch.exp(-6.9 / (log_uniform(0.3, 4.0, column, generator) * pitch))  # a trip's, by the RT60
    decay = loop_decay(frequency, pitch, loss, log_uniform(0.02, 0.5, column, generator), sample_rate)
    place = torch.sin(math.pi * number * uniform(0.05, 0.5, column, generator))
    burst = torch.view_as_complex(normal((len(pitch), STRINGS, 2), generator)) * place
    burst = burst * (frequency < sample_rate / 2)
    audio = ring(frequency, decay, burst, samples, sample_rate)
    return shift(audio, (uniform(0.0, 0.4, column, generator) * samples).long())


def loop_decay(frequency: Tensor, pitch: Tensor, loss: Tensor, blend: Tensor, sample_rate: int) -> Tensor:
    """Nepers a second that a string's loop takes from a frequency, by its ``loss`` and the averaging of neighbours.

    The filter is (1 - blend) + blend z^-1; Karplus and Strong's own has a blend of one half and no loss.
    """
    passed = 1 - 4 * blend * (1 - blend) * torch.sin(math.pi * frequency / sample_rate).square()
    return -pitch * (loss.log() + 0.5 * passed.clamp(min=TINY).log())


def ring(frequency: Tensor, decay: Tensor, size: Tensor, samples: int, sample_rate: int) -> Tensor:
    """Sums of decaying sinusoids, the real part of ``size * exp((2 pi i frequency - decay) t)``; all (batch, partials).

    A partial's value is its value at the start of a block times what it does within one, so that the sum over partials
    is a matrix product, and exponentials are needed for few points only.
    """
    length = max(1, math.isqrt(samples))
    blocks = -(-samples // length)

    def turns(steps: Tensor) -> Tensor:
        seconds = steps.double() / sample_rate
        angle = 2 * math.pi * _wrapped(frequency.double()[..., None] * seconds)
        return torch.polar(torch.exp(-decay[..., None] * seconds.float()), angle)

    within = turns(torch.arange(length, device=frequency.device))
    starts = turns(torch.arange(blocks, device=frequency.device) * length) * size[..., None]
    left = torch.cat([starts.real, -starts.imag], dim=1).transpose(1, 2)
    right = torch.cat([within.real, within.imag], dim=1)
    return (left @ right).flatten(1)[:, :samples]


def sine(cycles: Tensor) -> Tensor:
    """sin of so many full turns (float64), in float32."""
    return torch.sin(2 * math.pi * _wrapped(cycles))


def partials(cycles: Tensor, ratio: Tensor, loudness: Tensor, start: Tensor) -> Tensor:
    """Sinusoids at multiples ``ratio`` of a common running phase (batch, samples), float64; the rest (batch, partials).

    Within a block the phase is float32; what came before it is wrapped exactly for each partial.
    """
    samples = cycles.shape[-1]
    cycles = torch.nn.functional.pad(cycles, (0, -samples % BLOCK)).unflatten(1, (-1, BLOCK))
    before = cycles[..., :1]
    within = (cycles - before).float() * (2 * math.pi)
    audio = torch.zeros_like(within)
    for partial in range(ratio.shape[1]):
        factor = ratio[:, partial, None, None]
        offset = 2 * math.pi * _wrapped(before * factor + start[:, partial, None, None])
        audio.addcmul_(torch.addcmul(offset, within, factor).sin_(), loudness[:, partial, None, None])
    return audio.flatten(1)[:, :samples]


def _time(samples: int, sample_rate: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.arange(samples, device=generator.device, dtype=dtype) / sample_rate


def _wrapped(cycles: Tensor) -> Tensor:
    """What is left of a phase after its full turns."""
    return (cycles - cycles.floor()).float()


Source = Callable[[int, int, int, torch.Generator], Tensor]
KINDS: dict[str, Source] = {
    "tones": tones, "chirps": chirps, "fm": fm, "noise": noise, "clicks": clicks, "plucks": plucks,
}  # fmt: skip


def measure(batch: int = 64, seconds: float = 2.0, sample_rate: int = 16000, rounds: int = 5) -> dict[str, float]:
    """Clips a second of each source and of ``synthesise``; the best round counts."""
    generator = torch.Generator().manual_seed(0)
    speed = {}
    for name, make in {**KINDS, "synthesise": synthesise}.items():
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            make(batch, int(seconds * sample_rate), sample_rate, generator)
            times.append(time.perf_counter() - start)
        speed[name] = batch / min(times)
    return speed


__all__ = ["KINDS", "synthesise", *KINDS, "envelopes", "reverberate", "mix", "gain"]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--batch", default=64, show_default=True, help="Clips made at once.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of a clip.")
@click.option("--rounds", default=5, show_default=True, help="How often each source is timed; the best round counts.")
def main(batch: int, seconds: float, rounds: int) -> None:
    """Prints how many synthetic clips a second one thread makes, for each source and for all together."""
    torch.set_num_threads(1)
    for kind, clips in measure(batch, seconds, rounds=rounds).items():
        click.echo(f"{kind:12} {clips:8.0f} clips/s")


if __name__ == "__main__":
    main()
