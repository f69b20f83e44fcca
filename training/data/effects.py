"""What happens to a sound between its source and the ear: loudness over time, rooms, other sounds, level.

All of it works on a batch (batch, samples) where the batch lies and draws its parameters for each clip. What comes in
within [-1, 1] goes out within [-1, 1].
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .draws import chance, integers, log_uniform, uniform

SIXTY_DECIBELS = math.log(1000.0)  # what a sound has lost after its RT60, in nepers
TINY = 1e-9
CORNERS = (60.0, 150.0, 400.0, 1000.0, 2500.0, 5000.0, 8000.0)  # Hz, between which a microphone's response is drawn


def gain(audio: Tensor, generator: torch.Generator, low: float = -24.0, high: float = 12.0) -> Tensor:
    """Another level, drawn evenly in decibels; a clip that would clip is turned up to full scale only."""
    decibels = uniform(low, high, (len(audio), 1), generator)
    return limit(audio * amplitude(decibels))


def mix(audio: Tensor, generator: torch.Generator, low: float = -20.0, high: float = 6.0) -> Tensor:
    """Each clip plus another of the batch, which starts up to half a clip earlier or later and has ``low`` to ``high``
    decibels of its own level. A batch of one has itself for company."""
    batch, samples = audio.shape
    step = integers(1, max(2, batch), (1,), generator)
    other = audio[(torch.arange(batch, device=audio.device) + step) % batch]
    offset = integers(-(samples // 2), samples // 2 + 1, (batch, 1), generator)
    return limit(audio + shift(other, offset) * amplitude(uniform(low, high, (batch, 1), generator)))


def reverberate(audio: Tensor, generator: torch.Generator, sample_rate: int = 16000) -> Tensor:
    """Each clip in a room of its own, at the peak that it came with; the room's tail ends with the clip."""
    batch, samples = audio.shape
    rt60, direct = draw_rooms(batch, generator)
    response = room_responses(rt60, direct, min(samples, 2 * sample_rate), sample_rate, generator)
    wet = convolve(audio, response)
    return wet * (peak(audio) / peak(wet).clamp(min=TINY))


def colour(audio: Tensor, generator: torch.Generator, sample_rate: int = 16000) -> Tensor:
    """Each clip through a microphone of its own: a smooth random response of up to 12 dB either way, at its peak.

    The response is drawn at ``CORNERS`` and joined by straight lines over the logarithm of frequency.
    """
    batch, samples = audio.shape
    size = fast_length(samples)
    corners = torch.tensor(CORNERS, device=audio.device).log()
    frequency = torch.fft.rfftfreq(size, 1 / sample_rate, device=audio.device).clamp(CORNERS[0], CORNERS[-1]).log()
    right = torch.searchsorted(corners, frequency).clamp(1, len(CORNERS) - 1)
    share = (frequency - corners[right - 1]) / (corners[right] - corners[right - 1])
    decibels = uniform(-12.0, 12.0, (batch, len(CORNERS)), generator)
    response = amplitude(decibels[:, right - 1].lerp(decibels[:, right], share))
    heard = torch.fft.irfft(torch.fft.rfft(audio, n=size) * response, n=size)[:, :samples]
    return heard * (peak(audio) / peak(heard).clamp(min=TINY))


def draw_rooms(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Reverberation times (s) from a wardrobe to a church, and direct-to-reverberant ratios (dB): (batch, 1) each."""
    return log_uniform(0.1, 2.0, (batch, 1), generator), uniform(-6.0, 15.0, (batch, 1), generator)


def room_responses(rt60: Tensor, direct: Tensor, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Impulse responses: the direct sound at sample 0, then decaying white noise: (batch, samples).

    The noise begins after 1 to 20 ms, as the first walls do, and its energy is ``direct`` decibels below the direct
    sound's.
    """
    batch = len(rt60)
    time = torch.arange(samples, device=generator.device) / sample_rate
    gap = uniform(0.001, 0.02, (batch, 1), generator)
    noise = uniform(-1.0, 1.0, (batch, samples), generator)
    tail = noise * torch.exp((gap - time) * (SIXTY_DECIBELS / rt60)) * (time >= gap)
    energy = tail.square().sum(-1, keepdim=True).clamp(min=TINY)
    tail = tail * (amplitude(-direct) / energy.sqrt())
    tail[:, 0] = 1.0
    return tail


def envelopes(batch: int, samples: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Loudness over time, in [0, 1] and never silent throughout: constant, struck, swelling, trembling or gated.

    Drawn at 1-ms steps and joined by straight lines, which costs next to nothing and cannot click.
    """
    step = max(1, sample_rate // 1000)
    points = -(-samples // step) + 1
    time = torch.arange(points, device=generator.device) * (step / sample_rate)
    shapes = torch.stack([make(batch, time, generator) for make in (_constant, _struck, _swell, _tremble, _gated)])
    chosen = integers(0, len(shapes), (batch,), generator)
    envelope = shapes[chosen, torch.arange(batch, device=generator.device)]
    size = (points - 1) * step + 1
    smooth = F.interpolate(envelope[:, None], size=size, mode="linear", align_corners=True)[:, 0, :samples]
    loudest = peak(smooth)
    return torch.where(loudest > TINY, smooth / loudest.clamp(min=TINY), 1.0)


def _constant(batch: int, time: Tensor, generator: torch.Generator) -> Tensor:
    return torch.ones(batch, len(time), device=generator.device)


def _struck(batch: int, time: Tensor, generator: torch.Generator) -> Tensor:
    """A quick attack, then an exponential decay."""
    onset = uniform(0.0, 0.5, (batch, 1), generator) * time[-1]
    attack = log_uniform(0.001, 0.1, (batch, 1), generator)
    decay = SIXTY_DECIBELS / log_uniform(0.05, 3.0, (batch, 1), generator)
    since = time - onset
    return (since / attack).clamp(0.0, 1.0) * torch.exp(-decay * (since - attack).clamp(min=0.0))


def _swell(batch: int, time: Tensor, generator: torch.Generator) -> Tensor:
    """In over a part of the clip, held, and out again, as rounded as a raised cosine."""
    corners = uniform(0.0, 1.0, (batch, 4), generator).sort(dim=-1).values * time[-1]
    begin, full, falling, end = corners.split(1, dim=-1)
    rise = (time - begin) / (full - begin).clamp(min=0.005)
    fall = (end - time) / (end - falling).clamp(min=0.005)
    return 0.5 - 0.5 * torch.cos(math.pi * torch.minimum(rise, fall).clamp(0.0, 1.0))


def _tremble(batch: int, time: Tensor, generator: torch.Generator) -> Tensor:
    """Amplitude modulation, from a slow breath to a growl."""
    rate = log_uniform(0.5, 40.0, (batch, 1), generator)
    depth = uniform(0.3, 1.0, (batch, 1), generator)
    phase = uniform(0.0, 1.0, (batch, 1), generator)
    return 1.0 - depth * (0.5 - 0.5 * torch.cos(2 * math.pi * (rate * time + phase)))


def _gated(batch: int, time: Tensor, generator: torch.Generator) -> Tensor:
    """On or off by turns of one length, with edges of 5 ms; one turn at least is on."""
    shortest = 0.05
    length = log_uniform(shortest, 0.6, (batch, 1), generator)
    turn = (time / length).long()
    turns = int(len(time) * 0.001 / shortest) + 2
    on = chance(0.5, (batch, turns), generator)
    always = (uniform(0.0, 1.0, (batch, 1), generator) * time[-1] / length).long()
    on = on.scatter(1, always.clamp(max=turns - 1), True)
    gate = on.gather(1, turn.clamp(max=turns - 1)).float()
    return F.avg_pool1d(gate[:, None], kernel_size=5, stride=1, padding=2, count_include_pad=False)[:, 0]


def convolve(audio: Tensor, response: Tensor) -> Tensor:
    """Causal convolution, as long as the audio."""
    samples = audio.shape[-1]
    size = fast_length(samples + response.shape[-1] - 1)
    spectrum = torch.fft.rfft(audio, n=size) * torch.fft.rfft(response, n=size)
    return torch.fft.irfft(spectrum, n=size)[..., :samples]


def fast_length(samples: int) -> int:
    """The least length from here on that an FFT takes fast: a power of two, three times or five times one."""
    return min(factor << max(0, (-(-samples // factor) - 1).bit_length()) for factor in (1, 3, 5, 9, 15))


def shift(audio: Tensor, offset: Tensor) -> Tensor:
    """Clips moved by their number of samples (batch, 1), later where positive; silence moves in."""
    samples = audio.shape[-1]
    index = torch.arange(samples, device=audio.device) - offset
    return audio.gather(1, index.clamp(0, samples - 1)) * ((index >= 0) & (index < samples))


def peak(audio: Tensor) -> Tensor:
    """The largest magnitude of each clip, (batch, 1)."""
    return audio.abs().amax(dim=-1, keepdim=True)


def limit(audio: Tensor) -> Tensor:
    """Turns down what would leave [-1, 1], as a whole: clipping would add sounds of its own."""
    return audio / peak(audio).clamp(min=1.0)


def amplitude(decibels: Tensor) -> Tensor:
    """The factor of a level."""
    return torch.exp(decibels * (math.log(10.0) / 20.0))
