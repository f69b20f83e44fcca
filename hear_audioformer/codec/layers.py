"""The parts of EnCodec's encoder: causal convolutions, residual blocks, a recurrent layer.

Défossez et al., "High Fidelity Neural Audio Compression" (arXiv 2210.13438), section 3.2. Attribute names make the
state dict's names those of the published checkpoints, with weight normalisation folded into plain weights.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class Conv(nn.Module):
    """A convolution whose output at one time depends on no later input, (batch, in, time) -> (batch, out, time')."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, dilation=dilation)
        self.left = (kernel - 1) * dilation + 1 - stride
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(reflect(x, self.left, -x.shape[-1] % self.stride))


class Residual(nn.Module):
    """A bottleneck beside a 1 x 1 shortcut, (batch, channels, time) -> the same."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        narrow, wide = Conv(channels, channels // 2, 3, dilation=dilation), Conv(channels // 2, channels, 1)
        self.block = nn.Sequential(nn.ELU(), narrow, nn.ELU(), wide)
        self.shortcut = Conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.block(x)


class Recurrent(nn.Module):
    """An LSTM over time with a skip around it, (batch, channels, time) -> the same."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.permute(2, 0, 1)
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)


def reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Reflects both ends; a signal too short for that is padded with zeros first."""
    zeros = max(0, max(left, right) + 1 - x.shape[-1])
    padded = F.pad(F.pad(x, (0, zeros)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - zeros]
