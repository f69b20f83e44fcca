"""The distance of two sounds in log-mel spectrograms of many resolutions."""

import torch
from torch import Tensor, nn

from hear_audioformer.features import kaldi_filters

WINDOWS = tuple(2**power for power in range(5, 12))
BANDS = 64  # of the long windows; short ones resolve fewer
FLOOR = 2e-4  # added under the logarithm: 68 dB below a full sine, so that silence pulls at nothing


class MelDistance(nn.Module):
    """The mean, over windows of 32 to 2048 samples, of the absolute and the squared difference of log-mel values."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for window in WINDOWS:
            filters = kaldi_filters(sample_rate, window, min(BANDS, window // 8), 0.0)
            self.register_buffer(f"filters_{window}", filters.float(), persistent=False)
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Waveforms (batch, samples), both float32 -> a scalar."""
        total = reconstruction.new_zeros(())
        for window in WINDOWS:
            difference = self.log_mel(reconstruction, window) - self.log_mel(target, window)
            total = total + difference.abs().mean() + difference.square().mean()
        return total / len(WINDOWS)

    @torch.no_grad()
    def apart(self, reconstruction: Tensor, target: Tensor) -> float:
        """The mean absolute difference of log-mel values alone."""
        parts = [self.log_mel(reconstruction, window) - self.log_mel(target, window) for window in WINDOWS]
        return sum(float(part.abs().mean()) for part in parts) / len(parts)

    def log_mel(self, audio: Tensor, window: int) -> Tensor:
        """(batch, samples) -> (batch, frames, bands) for one window."""
        shape: Tensor = getattr(self, f"window_{window}")
        filters: Tensor = getattr(self, f"filters_{window}")
        frames = nn.functional.pad(audio, (0, window)).unfold(-1, window, window // 4)
        spectrum = torch.fft.rfft(frames * (shape / shape.sum()))
        power = torch.view_as_real(spectrum).square().sum(-1)
        return ((power + 1e-12).sqrt() @ filters + FLOOR).log()
