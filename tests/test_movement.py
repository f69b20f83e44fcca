"""What the front ends of movement hear: order, rates and directions, changes that go together."""

import math

import pytest
import torch
from torch import Tensor

from hear_audioformer.export.fusion import _twin
from hear_audioformer.fusion import movement
from hear_audioformer.fusion.fusion import FRONTS
from hear_audioformer.fusion.movement import CepstralChange, Course, Gabor, MovingBands
from hear_audioformer.fusion.waveform import Waveform
from tests.test_fusion import noise

RATE = 16000
MOVING = [name for name, front in FRONTS.items() if isinstance(front(), MovingBands)]


def bands_of(model: MovingBands, audio: Tensor) -> Tensor:
    """Log-mel values, (bands, frames)."""
    return model.front(audio)[0].mT


def test_course_is_the_cosine_transform_of_bands() -> None:
    model, audio = Course(), noise(1, 2.0)
    bands = bands_of(model, audio).double()
    count = bands.shape[1]
    time = (torch.arange(count) + 0.5) / count
    for number, found in enumerate(model.scene(audio)[0].unflatten(0, (movement.COSINES, -1)), 1):
        wanted = (bands * math.sqrt(2) * torch.cos(math.pi * number * time)).mean(1)
        assert torch.allclose(found, wanted.float(), atol=1e-5)


def test_course_tells_a_sound_from_the_same_backwards() -> None:
    model = Course()
    fading = noise(1, 2.0) * torch.logspace(0, -3, 2 * RATE)
    forward, backward = (model.scene(audio)[0].unflatten(0, (4, -1)) for audio in (fading, fading.flip(1)))
    assert (forward[0] > 1).all()
    assert (backward[0] < -1).all()
    assert torch.allclose(forward[1], backward[1], atol=0.2)
    onset = torch.cat([0.001 * noise(1, 1.0), noise(1, 1.0)], dim=1)
    frames, times = model.timestamps(onset)
    first = frames[0].unflatten(1, (4, -1))[:, 0].mean(1)
    assert abs(float(times[0, first.argmin()]) - 1000) <= 40
    assert first[[5, -5]].abs().max() < 0.3


def test_gabor_tells_rates_apart() -> None:
    model = Gabor()
    time = torch.arange(3 * RATE) / RATE
    for number, rate in enumerate(movement.RATES):
        audio = noise(1, 3.0) * (1 + 0.9 * torch.cos(2 * math.pi * rate * time))
        means = model.scene(audio)[0].unflatten(0, (2, len(movement.RATES), 7, -1))[0]
        assert (
            int((means - model.scene(noise(1, 3.0))[0].unflatten(0, (2, 5, 7, -1))[0])[:, 0].mean(1).argmax()) == number
        )


@pytest.mark.parametrize("direction", [1, -1])
def test_gabor_tells_up_from_down(direction: int) -> None:
    """Bands that ripple at 4 Hz and 0.12 cycles a band, moving to higher bands or to lower ones."""
    time, band = torch.arange(200 + 2 * movement.SPREAD) / 100, torch.arange(64)
    ripple = torch.cos(2 * math.pi * (4 * time - direction * 0.12 * band[:, None]))[None]
    values = Gabor().magnitudes(ripple)[0].mean(0).unflatten(0, (5, 7, -1)).mean(2)
    strongest = divmod(int(values.argmax()), 7)
    assert strongest == (1, 5 if direction > 0 else 2)  # 4 Hz; after scale 0, three of one direction, then the other
    assert float(values[1, 2] / values[1, 5]) ** direction < 0.2


def test_gabor_does_not_hear_level() -> None:
    model, audio = Gabor(), noise(1, 2.0)
    assert torch.allclose(model.scene(audio), model.scene(0.1 * audio), atol=0.01)
    steady = torch.full((1, 64, 150 + 2 * movement.SPREAD), -7.0)
    assert torch.allclose(model.magnitudes(steady), torch.tensor(1e-2), atol=1e-4)


def test_changes_and_their_correlations() -> None:
    model, audio = CepstralChange(), noise(1, 3.0)
    bands = model.surrounded(Waveform(audio), 0, 301)
    assert torch.equal(bands[0, :, :4], bands[0, :, 4:5].expand(-1, 4))
    coefficients = bands[0].mT @ movement.cepstrum()
    changes = (coefficients[8:] - coefficients[:-8]).double()
    scene = model.scene(audio)[0].double()
    assert torch.allclose(scene[:24], changes.std(0, correction=0).log(), atol=1e-5)
    rows, columns = torch.triu_indices(24, 24, 1)
    assert torch.allclose(scene[24:], torch.corrcoef(changes.T)[rows, columns], atol=1e-5)
    assert torch.isfinite(model.scene(torch.zeros(1, 4000))).all()
    frames, times = model.timestamps(audio)
    nearest = int(float(times[0, 20]) / 10 + 0.5)
    assert torch.allclose(frames[0, 20, :24], coefficients[4 + nearest], atol=1e-4)


@pytest.mark.parametrize("name", MOVING)
def test_short_clips_and_their_exports(name: str) -> None:
    model = FRONTS[name]()
    assert isinstance(model, MovingBands)
    twin = _twin(model, timestamps=False)
    for samples in (1, 160, 400, 5000, 32000):
        audio = noise(2, 2.0)[:, :samples]
        scene = model.scene(audio)
        assert torch.isfinite(scene).all()
        assert torch.allclose(twin(audio), scene, atol=2e-4), samples
        times = model.timestamps(audio)[1][0]
        assert torch.allclose(twin.at(audio, model.centres(times)), model.frames_at(audio, times), atol=2e-4)  # type: ignore[operator]
