"""Twins of the front ends that say how log-mel bands move, on whole clips."""

import torch
from torch import Tensor, nn

from ..fusion.movement import (
    CEPSTRA,
    DEVIATION_FLOOR,
    FAINT,
    CepstralChange,
    Course,
    Gabor,
    MovingBands,
    cosines,
)
from .front import LogMelTwin
from .sizes import whole


class BandTwin(nn.Module):
    """A ``MovingBands`` on whole clips, (batch, samples) -> (batch, scene)."""

    def __init__(self, front: MovingBands) -> None:
        super().__init__()
        self.front = front
        self.mel = LogMelTwin(front.front)

    def forward(self, audio: Tensor) -> Tensor:
        raise NotImplementedError

    def at(self, audio: Tensor, centres: Tensor) -> Tensor:
        """Frames around samples, (batch, frames, values)."""
        nearest = (centres + self.mel.hop // 2) // self.mel.hop
        values = self.moments(self.bands(audio))
        return values[:, torch.minimum(nearest, whole(values.shape[1] - 1))]

    def moments(self, bands: Tensor) -> Tensor:
        return self.front.moments(bands)

    def bands(self, audio: Tensor) -> Tensor:
        """(batch, bands, around + frames + around), the ends repeated."""
        count, around = self.mel.count(audio.shape[1]), self.front.around_frames
        frames = torch.arange(count + 2 * around) - around
        frames = torch.minimum(frames.clamp(min=0), whole(count - 1))
        return self.mel(audio, 0, count)[:, frames].mT


class CourseTwin(BandTwin):
    """``Course``."""

    def forward(self, audio: Tensor) -> Tensor:
        count = self.mel.count(audio.shape[1])
        bands = self.mel(audio, 0, count).mT.double()
        return (bands @ cosines(torch.arange(count), count)).mT.flatten(1).float()


class GaborTwin(BandTwin):
    """``Gabor``."""

    front: Gabor

    def forward(self, audio: Tensor) -> Tensor:
        magnitudes = self.front.magnitudes_at_once(self.bands(audio))
        mean = magnitudes.mean(1)
        deviation = (magnitudes - mean[:, None]).square().mean(1).sqrt()
        return torch.cat([mean.log(), (deviation + DEVIATION_FLOOR).log()], dim=1)

    def moments(self, bands: Tensor) -> Tensor:
        return self.front.magnitudes_at_once(bands).log()


class CepstralChangeTwin(BandTwin):
    """``CepstralChange``."""

    def forward(self, audio: Tensor) -> Tensor:
        changes = self.front.moments(self.bands(audio))[..., CEPSTRA:].double()
        centred = changes - changes.mean(1, keepdim=True)
        covariances = centred.mT @ centred / whole(changes.shape[1])
        deviations = covariances.diagonal(dim1=1, dim2=2).clamp(min=FAINT).sqrt()
        correlations = covariances / (deviations[:, :, None] * deviations[:, None])
        rows, columns = torch.triu_indices(CEPSTRA, CEPSTRA, 1)
        return torch.cat([deviations.log(), correlations[:, rows, columns]], dim=1).float()


def twin(front: MovingBands) -> BandTwin:
    """The twin of a front end."""
    if isinstance(front, Course):
        return CourseTwin(front)
    if isinstance(front, Gabor):
        return GaborTwin(front)
    assert isinstance(front, CepstralChange)
    return CepstralChangeTwin(front)
