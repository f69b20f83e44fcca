"""A stand-in for torchcodec, with which `datasets` writes and reads audio: as much of it as WAV in memory needs.

torchcodec loads beside one build of torch and one of FFmpeg only; where it does not, MTEB's mock tasks run with this.
"""

import io
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO

import pytest
import soundfile
import torch
from torch import Tensor


class AudioEncoder:
    """Samples, (samples,) or (channels, samples), to be written as WAV."""

    def __init__(self, samples: Tensor, *, sample_rate: int) -> None:
        self.samples, self.sample_rate = samples, sample_rate

    def to_file_like(self, file: BinaryIO, format: str, num_channels: int | None = None) -> None:
        soundfile.write(file, self.samples.numpy().T, self.sample_rate, subtype="FLOAT", format=format)


class AudioDecoder:
    """The samples of a file in memory."""

    def __init__(self, source: bytes, **_: Any) -> None:
        samples, self.sample_rate = soundfile.read(io.BytesIO(source), dtype="float32", always_2d=True)
        self.data = torch.from_numpy(samples.T)
        self.metadata = SimpleNamespace(sample_rate=self.sample_rate)

    def get_all_samples(self) -> "AudioDecoder":
        return self

    def get_samples_played_in_range(self, start: float, stop: float) -> "AudioDecoder":
        return self


class VideoDecoder:
    """Asked for by name alone."""


def use_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the stand-in in the place of a torchcodec that is not there or does not load."""
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        import datasets

        for name, parts in {
            "torchcodec": {},
            "torchcodec.encoders": {"AudioEncoder": AudioEncoder},
            "torchcodec.decoders": {"AudioDecoder": AudioDecoder, "VideoDecoder": VideoDecoder},
        }.items():
            module = ModuleType(name)
            vars(module).update(parts)
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, "datasets.features._torchcodec", raising=False)
        monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", True)
