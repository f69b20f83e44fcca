"""Hand-made statistics of sound as models: a fine log-frequency spectrum, and how log-mel bands change.

A scene is put together from blocks of a clip, so that memory does not grow with the clip. Each block gives means and
deviations, which are merged in float64; a clip of one block, up to a minute, gives those of the block bit for bit.
A timestamp holds the values around one instant whose statistics a scene holds.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ..clips import Clips, group_of, groups_of
from ..features import LogMel
from ..model import Blocks as OpenBlocks
from ..model import Model, Progress, UsedPrecision
from ..stream import checked
from ..windows import Geometry
from .waveform import Heard, Waveform

RATE = 16000
GRID = Geometry(RATE, RATE // 100, origin=0, patch=4, columns=1)  # timestamps each 40, 20 or 10 ms

BINS_PER_OCTAVE, LOWEST, HIGHEST = 36, 55.0, 7000.0  # Hz
N_FFT, HOP = 4096, 1024
POWER_FLOOR = 1e-9  # of a full-scale sine
SPECTRA = 256  # in one FFT
SPECTRA_A_BLOCK = 4 * SPECTRA  # 65 s

BANDS = 40
SMOOTHINGS = (1, 3, 6, 12, 25, 50, 100)  # frames of 10 ms
CHANGE_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEVEL_QUANTILE = 0.9
MARGIN = 2  # frames, which hold half a window
ENERGY_FLOOR = 1e-4  # of squared differences of log-mels
FRAMES_A_BLOCK = 6144  # 61 s
RANKED = 15000  # frames that quantiles are exact up to, 2.5 min; of a longer clip they are those of each n-th frame


class Statistics(Model):
    """A model without weights: the base class of both.

    Args:
        hop_ms: step between timestamps, 40, 20 or 10; by default 40.
    """

    sample_rate = RATE
    pool = "statistics"
    place: Tensor  # an empty buffer, which says where the model is

    def __init__(self, scene: int, frame: int, hop_ms: float | None = None) -> None:
        super().__init__()
        self.scene_embedding_size, self.timestamp_embedding_size = scene, frame
        self.step = GRID.choose_hop(hop_ms)
        self.hop_ms = 1000 * self.step * GRID.step / RATE
        self.register_buffer("place", torch.empty(0), persistent=False)

    @property
    def hops(self) -> list[float]:
        return list(GRID.hops())

    @property
    def used_precision(self) -> UsedPrecision:
        return "fp32"

    @torch.no_grad()
    def scene(self, audio: Clips) -> Tensor:
        groups, device = groups_of(audio)
        clips = [clip for group in groups for clip in group[:, None]]  # one by one: no clip depends on its neighbours
        empty = torch.zeros(0, self.scene_embedding_size, device=device)
        return torch.cat([empty, *(self.statistics(Waveform(clip)).to(device) for clip in clips)])

    @torch.no_grad()
    def timestamps(self, audio: Clips) -> tuple[Tensor, Tensor]:
        audio, device = group_of(audio)
        samples = audio.shape[1]
        times = GRID.timestamps(GRID.centred(samples, self.step), samples).to(device)
        return self.frames_at(audio, times), times.expand(len(audio), -1).clone()

    @torch.no_grad()
    def frames_at(self, audio: Clips, times: Tensor) -> Tensor:
        audio, device = group_of(audio)
        centres = self.centres(times).to(device)
        out = torch.empty(len(audio), len(times), self.timestamp_embedding_size, device=device)
        for row, clip in enumerate(audio[:, None]):
            out[row] = self.heard_at(Waveform(clip), centres)[0].to(device)
        return out

    @staticmethod
    def centres(times: Tensor) -> Tensor:
        """Times in ms -> samples."""
        return (times.double() * (RATE / 1000)).round().long()

    @torch.no_grad()
    def heard_at(self, audio: Waveform, centres: Tensor) -> Tensor:
        """Frames around samples (frames,) in order, (clips, frames, timestamp_embedding_size)."""
        found = [self.around(audio, part) for part in centres.split(SPECTRA)]
        return torch.cat(found, dim=1)

    @torch.no_grad()
    def scene_of(self, open_blocks: OpenBlocks, progress: Progress | None = None) -> Tensor:
        """``scene`` of a recording that is read block by block, twice, in constant memory."""
        samples = sum(part.shape[1] for part in checked(open_blocks(), "block"))
        if not samples:
            raise ValueError("the recording holds no samples: an embedding needs at least one")
        vector = self.statistics(Heard(checked(open_blocks(), "block"), samples))[0]
        if progress:
            progress(samples)
        return vector

    def statistics(self, audio: Waveform) -> Tensor:
        """(clips, scene_embedding_size)."""
        raise NotImplementedError

    def around(self, audio: Waveform, centres: Tensor) -> Tensor:
        """Around neighbouring samples (frames,): (clips, frames, timestamp_embedding_size)."""
        raise NotImplementedError

    @property
    def latency_ms(self) -> float:
        """The time from an instant to the last sample that its frame depends on."""
        raise NotImplementedError


class LogFrequency(Statistics):
    """36 bins an octave from 55 Hz to 7 kHz, of windows of 256 ms.

    A scene holds the logarithm of the mean power, and the deviation of the logarithm over time, of each bin; a
    timestamp the logarithm of the power.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, hop_ms: float | None = None) -> None:
        filters = log_frequency_filters()
        super().__init__(2 * filters.shape[1], filters.shape[1], hop_ms)
        window = torch.hann_window(N_FFT, dtype=torch.float64)
        window = (window / (window.sum() / 2)).float()  # a full-scale sine has power 1
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def statistics(self, audio: Waveform) -> Tensor:
        blocks = Blocks(1 + audio.samples // HOP, SPECTRA_A_BLOCK)
        found = self.filters.new_empty(3, len(blocks.slices), len(audio), self.filters.shape[1])
        for row, block in enumerate(blocks.slices):
            power = self.power(audio, HOP * torch.arange(block.start, block.stop, device=audio.device))
            level = power.log()
            found[:, row] = torch.stack([power.mean(1), level.mean(1), level.std(1, correction=0)])
        powers, levels, deviations = found
        return torch.cat([blocks.mean(powers).log(), blocks.std(levels, deviations)], dim=1)

    def around(self, audio: Waveform, centres: Tensor) -> Tensor:
        return self.power(audio, centres).log()

    @property
    def latency_ms(self) -> float:
        return 1000 * N_FFT / 2 / RATE

    def power(self, audio: Waveform, centres: Tensor) -> Tensor:
        """Power of each bin around samples (frames,), with silence around the clip: (clips, frames, bins)."""
        first, last = int(centres[0]) - N_FFT // 2, int(centres[-1]) + N_FFT // 2
        audio.reach(last)
        around = (max(-first, 0), max(last - audio.samples, 0))
        padded = F.pad(audio.part(max(first, 0), last), around).to(self.window.device)
        places = (centres.to(padded.device) - int(centres[0]))[:, None] + torch.arange(N_FFT, device=padded.device)
        powers = []
        for some in places.split(SPECTRA):
            spectra = torch.fft.rfft(padded[:, some] * self.window)
            powers.append(spectra.abs().square() @ self.filters + POWER_FLOOR)
        return torch.cat(powers, dim=1)


class BandStatistics(Statistics):
    """Statistics of log-mel bands, 10 ms a frame; a timestamp holds the values of the frame nearest to it."""

    around_frames: int  # on each side of one that its values depend on

    def __init__(self, bands: int, scene: int, frame: int, hop_ms: float | None = None) -> None:
        super().__init__(scene, frame, hop_ms)
        self.front = LogMel(RATE, bands)

    @property
    def latency_ms(self) -> float:
        return 1000 * (self._end(1) + self.front.hop / 2) / RATE

    def around(self, audio: Waveform, centres: Tensor) -> Tensor:
        nearest = (centres + self.front.hop // 2) // self.front.hop
        audio.reach(self._end(int(nearest[-1]) + 1))
        nearest = nearest.clamp(max=self.front.count(audio.samples) - 1)
        first, last = int(nearest[0]), int(nearest[-1])
        values = self.values(audio, first, last + 1)
        return values[:, nearest.to(values.device) - first]

    def values(self, audio: Waveform, start: int, stop: int) -> Tensor:
        """What timestamps hold of frames start..stop, (clips, frames, timestamp_embedding_size)."""
        raise NotImplementedError

    def bands(self, audio: Waveform, start: int, stop: int) -> tuple[Tensor, int]:
        """Frames start..stop and ``around_frames`` on each side, as far as there are; how many stand before."""
        audio.reach(self._end(stop))
        first = max(start - self.around_frames, 0)
        last = min(stop + self.around_frames, self.front.count(audio.samples))
        before = max(first - MARGIN, 0)  # frames: the edge of a part is reflected, which only that of the clip may be
        part = audio.part(before * self.front.hop, self._end(stop))
        return self.front(part, first - before, last - before).mT, start - first

    def _end(self, stop: int) -> int:
        """The sample behind the last one that frames before ``stop`` depend on."""
        return (stop + self.around_frames - 1) * self.front.hop + self.front.length // 2


class Modulation(BandStatistics):
    """How 40 log-mel bands, 10 ms a frame, change at which pace, how they jump from frame to frame, how loud they are.

    A scene holds, of each band, the log energy of the differences between successive smoothings, the deviation of the
    last smoothing, five quantiles of the change from frame to frame and one of the level; a timestamp the differences
    and the last smoothing, in the frame nearest to it.
    """

    around_frames = SMOOTHINGS[-1] // 2

    def __init__(self, hop_ms: float | None = None) -> None:
        statistics = len(SMOOTHINGS) + len(CHANGE_QUANTILES) + 1
        super().__init__(BANDS, statistics * BANDS, len(SMOOTHINGS) * BANDS, hop_ms)

    def statistics(self, audio: Waveform) -> Tensor:
        count = self.front.count(audio.samples)
        blocks, every = Blocks(count, FRAMES_A_BLOCK), math.ceil(count / RANKED)
        found = self.place.new_empty(len(SMOOTHINGS) + 1, len(blocks.slices), len(audio), BANDS)
        levels = self.place.new_empty(len(audio), BANDS, math.ceil(count / every))
        changes = self.place.new_zeros(len(audio), BANDS, math.ceil(max(count - 1, 1) / every))
        for row, block in enumerate(blocks.slices):
            longer = self.smoothed(audio, block.start, block.stop + 1)
            smoothed = [bands[:, :, : block.stop - block.start] for bands in longer]
            energies = [(fine - coarse).square().mean(2) for fine, coarse in pairwise(smoothed)]
            found[:, row] = torch.stack([*energies, smoothed[-1].mean(2), smoothed[-1].std(2, correction=0)])
            for kept, values in ((levels, smoothed[0]), (changes, longer[0].diff(dim=2))):
                ranked = values[:, :, -block.start % every :: every]
                first = math.ceil(block.start / every)
                kept[:, :, first : first + ranked.shape[2]] = ranked
        energy = blocks.mean(found[:-2])
        return torch.cat(
            [
                *(energy + ENERGY_FLOOR).log(),
                blocks.std(found[-2], found[-1]),
                *_quantiles(changes, CHANGE_QUANTILES),
                *_quantiles(levels, [LEVEL_QUANTILE]),
            ],
            dim=1,
        )

    def values(self, audio: Waveform, start: int, stop: int) -> Tensor:
        smoothed = self.smoothed(audio, start, stop)
        return torch.cat([*(fine - coarse for fine, coarse in pairwise(smoothed)), smoothed[-1]], dim=1).mT

    def smoothed(self, audio: Waveform, start: int, stop: int) -> list[Tensor]:
        """Log-mel frames start..stop (as far as there are) in all smoothings, each (clips, bands, frames)."""
        bands, before = self.bands(audio, start, stop)
        return [_moving_average(bands, frames)[:, :, before : before + stop - start] for frames in SMOOTHINGS]


def log_frequency_filters() -> Tensor:
    """Triangles over the bins of a power spectrum, (N_FFT / 2 + 1, bins); none is narrower than two of those bins."""
    bins = int(BINS_PER_OCTAVE * torch.tensor(HIGHEST / LOWEST).log2()) + 1
    centres = LOWEST * 2 ** (torch.arange(bins, dtype=torch.float64) / BINS_PER_OCTAVE)
    half_width = (centres * (2 ** (1 / BINS_PER_OCTAVE) - 1)).clamp(min=RATE / N_FFT)
    frequencies = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * RATE / N_FFT
    filters = (1 - (frequencies[:, None] - centres).abs() / half_width).clamp(min=0)
    return (filters / filters.sum(0)).float()


class Blocks:
    """0..count in blocks, and the merging of what was found of each; that of one block stays as it is, bit for bit."""

    def __init__(self, count: int, size: int) -> None:
        self.slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        self.shares = [(block.stop - block.start) / count for block in self.slices]

    def mean(self, means: Tensor) -> Tensor:
        """The mean over all blocks from that of each, (..., blocks, clips, values) -> (..., clips, values)."""
        return (means.double() * self._weights(means)).sum(-3).float()

    def std(self, means: Tensor, deviations: Tensor) -> Tensor:
        """The deviation over all blocks from mean and deviation of each, (blocks, clips, values) -> (clips, values)."""
        middle = self.mean(means).double()
        variances = deviations.double().square() + (means.double() - middle).square()
        return (variances * self._weights(means)).sum(0).sqrt().float()

    def _weights(self, like: Tensor) -> Tensor:
        return torch.tensor(self.shares, dtype=torch.float64, device=like.device)[:, None, None]


def _moving_average(bands: Tensor, frames: int) -> Tensor:
    """The mean of the frames around each frame, as far as the clip holds them, (clips, bands, frames)."""
    before, after = (frames - 1) // 2, frames // 2
    sums = F.pad(bands.double().cumsum(2), (1, 0))
    frame = torch.arange(bands.shape[2], device=bands.device)
    first, last = (frame - before).clamp(min=0), (frame + after + 1).clamp(max=bands.shape[2])
    return ((sums[:, :, last] - sums[:, :, first]) / (last - first)).float()


def _quantiles(values: Tensor, shares: Sequence[float]) -> Iterator[Tensor]:
    """Quantiles over the last axis, of any length: torch's own refuses long ones."""
    ordered = values.sort(dim=-1).values
    for share in shares:
        rank = share * (values.shape[-1] - 1)
        low, high = ordered[..., int(rank)], ordered[..., min(int(rank) + 1, values.shape[-1] - 1)]
        yield low + (rank - int(rank)) * (high - low)
