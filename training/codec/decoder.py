"""EnCodec's decoder: the encoder's mirror image, kept in training so that anyone can listen (arXiv 2210.13438)."""

from torch import Tensor, nn

from hear_audioformer.codec import Config
from hear_audioformer.codec.layers import Conv, Recurrent, Residual


class Upsample(nn.Module):
    """A transposed convolution without a look ahead, (batch, in, frames) -> (batch, out, frames * stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[..., : x.shape[-1] * self.conv.stride[0]]


class Decoder(nn.Module):
    """Latents (batch, latent, frames) -> waveforms (batch, frames * hop)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [Conv(config.latent, channels, 7)]
        layers += [Recurrent(channels, config.lstm)] if config.lstm else []
        layers += [Residual(channels, dilation) for dilation in reversed(config.dilations)]
        for ratio in reversed(config.ratios):
            layers += [nn.ELU(), Upsample(channels, channels // 2, ratio), Residual(channels // 2)]
            channels //= 2
        layers += [nn.ELU(), Conv(channels, 1, 7)]
        self.layers = nn.ModuleList(layers)

    @property
    def last(self) -> nn.Module:
        """The convolution that makes the waveform."""
        made = self.layers[-1]
        assert isinstance(made, Conv)
        return made.conv

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x[:, 0]
