"""Hand-made statistics of how log-mel bands move: over a clip, at each rate and scale, and together.

As those of ``statistics``: a scene is put together from blocks, a timestamp holds the values around one instant. The
values beyond the ends of a clip are those at its ends.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .statistics import FRAMES_A_BLOCK, BandStatistics, Blocks
from .waveform import Waveform

COURSE_BANDS = 40
COSINES = 4
COURSE_AROUND = 25  # frames of 10 ms on each side of a timestamp

BANDS = 64
RATES = (2.0, 4.0, 8.0, 16.0, 30.0)  # Hz
SCALES = (0.05, 0.12, 0.25)  # cycles a band; besides, 0
FLAT = 2  # bands on each side that scale 0 takes the sum of
GROUP, GROUP_STEP = 16, 8  # bands whose magnitudes are averaged
SPREAD = 50  # frames on each side that the slowest rate takes
MAGNITUDE_FLOOR, DEVIATION_FLOOR = 1e-4, 1e-2  # of squared magnitudes, in nats, and of their deviation

CEPSTRA = 24
LAG = 4  # frames on each side that a change is taken over
FAINT = 1e-6  # variance of a change
MEMORY = 512  # frames of all magnitudes at once


class MovingBands(BandStatistics):
    """Statistics of log-mel bands that go on beyond the ends of a clip as they are there."""

    def values(self, audio: Waveform, start: int, stop: int) -> Tensor:
        return self.moments(self.surrounded(audio, start, stop))

    def moments(self, bands: Tensor) -> Tensor:
        """Log-mel bands with what is around them, (clips, bands, frames + around) -> (clips, frames, values)."""
        raise NotImplementedError

    def surrounded(self, audio: Waveform, start: int, stop: int) -> Tensor:
        """Frames start..stop and ``around_frames`` on each side, (clips, bands, frames + around)."""
        bands, before = self.bands(audio, start, stop)
        behind = bands.shape[2] - before - (stop - start)
        return F.pad(bands, (self.around_frames - before, self.around_frames - behind), mode="replicate")


class Course(MovingBands):
    """The course of 40 log-mel bands over a clip: their first four cosine coefficients in time, without the mean.

    Means and deviations do not know in which order things happen; these do. A timestamp holds those of the half second
    around it.
    """

    around_frames = COURSE_AROUND
    cosines: Tensor

    def __init__(self, hop_ms: float | None = None) -> None:
        super().__init__(COURSE_BANDS, COSINES * COURSE_BANDS, COSINES * COURSE_BANDS, hop_ms)
        frames = 2 * COURSE_AROUND + 1
        self.register_buffer("cosines", cosines(torch.arange(frames), frames).float(), persistent=False)

    def statistics(self, audio: Waveform) -> Tensor:
        count = self.front.count(audio.samples)
        total = torch.zeros(len(audio), COURSE_BANDS, COSINES, dtype=torch.float64, device=self.place.device)
        for block in Blocks(count, FRAMES_A_BLOCK).slices:
            bands = self.surrounded(audio, block.start, block.stop)[:, :, COURSE_AROUND:-COURSE_AROUND]
            total += bands.double() @ cosines(torch.arange(block.start, block.stop), count).to(total.device)
        return total.mT.flatten(1).float()

    def moments(self, bands: Tensor) -> Tensor:
        windows = bands.unfold(2, len(self.cosines), 1)
        return (windows @ self.cosines).permute(0, 2, 3, 1).flatten(2)


class Gabor(MovingBands):
    """Spectro-temporal modulation of 64 log-mel bands: magnitudes of Gabor filters of five rates and seven scales.

    Three scales go up and down. A scene holds the logarithms of mean and deviation over time, averaged over seven
    groups of bands; a timestamp the logarithms of the magnitudes.
    """

    around_frames = SPREAD
    in_time: Tensor
    in_frequency: Tensor
    groups: Tensor

    def __init__(self, hop_ms: float | None = None) -> None:
        values = len(RATES) * (1 + 2 * len(SCALES)) * len(groups())
        super().__init__(BANDS, 2 * values, values, hop_ms)
        self.register_buffer("in_time", time_filters(), persistent=False)
        self.register_buffer("in_frequency", frequency_filters(), persistent=False)
        self.register_buffer("groups", groups(), persistent=False)

    def statistics(self, audio: Waveform) -> Tensor:
        blocks = Blocks(self.front.count(audio.samples), FRAMES_A_BLOCK)
        found = self.place.new_empty(2, len(blocks.slices), len(audio), self.timestamp_embedding_size)
        for row, block in enumerate(blocks.slices):
            magnitudes = self.magnitudes(self.surrounded(audio, block.start, block.stop))
            found[:, row] = torch.stack([magnitudes.mean(1), magnitudes.std(1, correction=0)])
        means, deviations = found
        return torch.cat([blocks.mean(means).log(), (blocks.std(means, deviations) + DEVIATION_FLOOR).log()], dim=1)

    def moments(self, bands: Tensor) -> Tensor:
        return self.magnitudes(bands).log()

    def magnitudes(self, bands: Tensor) -> Tensor:
        """(clips, bands, frames + around) -> (clips, frames, values)."""
        frames = bands.shape[2] - 2 * SPREAD
        parts = [bands[:, :, start : min(start + MEMORY, frames) + 2 * SPREAD] for start in range(0, frames, MEMORY)]
        return torch.cat([self.magnitudes_at_once(part) for part in parts], dim=1)

    def magnitudes_at_once(self, bands: Tensor) -> Tensor:
        """The same, at many times the memory."""
        moved = F.conv1d(bands.flatten(0, 1)[:, None], self.in_time)  # (clips x bands, rates x 2, frames)
        real, imaginary = moved.unflatten(0, (-1, BANDS)).unflatten(2, (-1, 2)).permute(3, 0, 2, 1, 4)
        cosine, sine = self.in_frequency[:, :, None, None]  # (scales, 1, 1, bands, bands)
        a, b, c, d = cosine @ real, sine @ imaginary, cosine @ imaginary, sine @ real
        up, down = (a - b).square() + (c + d).square(), (a + b)[1:].square() + (c - d)[1:].square()
        magnitudes = self.groups @ (torch.cat([up, down]) + MAGNITUDE_FLOOR).sqrt()
        return magnitudes.permute(1, 4, 2, 0, 3).flatten(2)


class CepstralChange(MovingBands):
    """How 24 cepstral coefficients change together: correlations of their changes over 80 ms, and their deviations.

    A timestamp holds the coefficients and their changes.
    """

    around_frames = LAG
    cepstrum: Tensor

    def __init__(self, hop_ms: float | None = None) -> None:
        super().__init__(BANDS, CEPSTRA * (CEPSTRA + 1) // 2, 2 * CEPSTRA, hop_ms)
        self.register_buffer("cepstrum", cepstrum(), persistent=False)

    def statistics(self, audio: Waveform) -> Tensor:
        count = self.front.count(audio.samples)
        sums = torch.zeros(len(audio), CEPSTRA, dtype=torch.float64, device=self.place.device)
        products = torch.zeros(len(audio), CEPSTRA, CEPSTRA, dtype=torch.float64, device=self.place.device)
        for block in Blocks(count, FRAMES_A_BLOCK).slices:
            changes = self.moments(self.surrounded(audio, block.start, block.stop))[..., CEPSTRA:].double()
            sums += changes.sum(1)
            products += changes.mT @ changes
        means = sums / count
        covariances = products / count - means[:, :, None] * means[:, None]
        deviations = covariances.diagonal(dim1=1, dim2=2).clamp(min=FAINT).sqrt()
        correlations = covariances / (deviations[:, :, None] * deviations[:, None])
        rows, columns = torch.triu_indices(CEPSTRA, CEPSTRA, 1)
        return torch.cat([deviations.log(), correlations[:, rows, columns]], dim=1).float()

    def moments(self, bands: Tensor) -> Tensor:
        coefficients = bands.mT @ self.cepstrum
        changes = coefficients[:, 2 * LAG :] - coefficients[:, : -2 * LAG]
        return torch.cat([coefficients[:, LAG:-LAG], changes], dim=2)


def cosines(frames: Tensor, count: int) -> Tensor:
    """Cosines over ``count`` frames at some of them, of unit mean square, over the count: (frames, COSINES)."""
    phase = math.pi * (frames.double() + 0.5) / count
    return math.sqrt(2) * torch.cos(phase[:, None] * torch.arange(1, COSINES + 1)) / count


def cepstrum() -> Tensor:
    """Cosines over the bands, (BANDS, CEPSTRA)."""
    band = math.pi * (torch.arange(BANDS, dtype=torch.float64) + 0.5) / BANDS
    return (math.sqrt(2 / BANDS) * torch.cos(band[:, None] * torch.arange(CEPSTRA))).float()


def bell(half: int) -> Tensor:
    """A squared cosine over ``-half..half`` that ends before 0, (2 half + 1,)."""
    return torch.cos(math.pi / 2 * torch.arange(-half, half + 1, dtype=torch.float64) / (half + 1)).square()


def time_filters() -> Tensor:
    """Two periods of each rate at most, cosine and sine, unmoved by what stays: (2 x rates, 1, 2 SPREAD + 1)."""
    filters = torch.zeros(len(RATES), 2, 2 * SPREAD + 1, dtype=torch.float64)
    for filter_, rate in zip(filters, RATES, strict=True):
        half = min(SPREAD, round(100 / rate))
        window, phase = bell(half), 2 * math.pi * rate / 100 * torch.arange(-half, half + 1)
        cosine = window * (torch.cos(phase) - (window * torch.cos(phase)).sum() / window.sum())
        pair = torch.stack([cosine, window * torch.sin(phase)])
        filter_[:, SPREAD - half : SPREAD + half + 1] = pair / pair.square().sum().sqrt()
    return filters.flatten(0, 1)[:, None].float()


def frequency_filters() -> Tensor:
    """Cosine and sine along the bands for scale 0 and the others, (2, 1 + scales, bands, bands)."""
    apart = torch.arange(BANDS)[None] - torch.arange(BANDS)[:, None]
    filters = torch.zeros(2, 1 + len(SCALES), BANDS, BANDS, dtype=torch.float64)
    filters[0, 0] = (apart.abs() <= FLAT) / (2 * FLAT + 1) ** 0.5
    for number, scale in enumerate(SCALES, 1):
        half = min(BANDS // 2 - 1, max(FLAT + 2, round(1 / scale)))
        window = torch.where(apart.abs() <= half, torch.cos(math.pi / 2 * apart / (half + 1)).square(), 0.0)
        phase = 2 * math.pi * scale * apart
        filters[:, number] = torch.stack([window * torch.cos(phase), window * torch.sin(phase)])
        filters[:, number] /= bell(half).square().sum().sqrt()
    return filters.float()


def groups() -> Tensor:
    """Means over neighbouring bands, (groups, bands)."""
    starts = torch.arange(0, BANDS - GROUP + 1, GROUP_STEP)
    band = torch.arange(BANDS)
    return ((band >= starts[:, None]) & (band < starts[:, None] + GROUP)).float() / GROUP
