"""What a method is compared with where no package has it: the authors' path of MSM-MAE, and passt's timestamps."""

import torch
from torch import Tensor, nn

from hear_audioformer.embedder import Embedder
from hear_audioformer.layers import Attention, Block, patchify
from hear_audioformer.msm_mae import MsmMae


class AuthorsPath(nn.Module):
    """MSM-MAE as published: full windows one by one, eager attention, float32.

    It pads every clip to whole windows, adds an empty window if the clip already fits, and computes the attention
    matrix. Weights and log-mel module are ours, so only the path differs.
    """

    def __init__(self, encoder: MsmMae) -> None:
        super().__init__()
        self.encoder = encoder

    @torch.no_grad()
    def scene(self, audio: Tensor) -> Tensor:
        """(batch, samples) -> (batch, dim)."""
        config = self.encoder.config
        logmel = self.encoder.front(audio)
        logmel = (logmel - logmel.mean()) / logmel.std()
        frames = logmel.shape[1]
        padding = config.frames - frames % config.frames  # a whole window when there is nothing to pad
        padded = nn.functional.pad(logmel, (0, 0, 0, padding))
        windows = [self._encode(window) for window in padded.split(config.frames, dim=1)]
        columns = torch.cat(windows, dim=1)
        surplus = config.grid[1] * padding // config.frames
        return columns[:, : columns.shape[1] - surplus].mean(1)

    def _encode(self, window: Tensor) -> Tensor:
        encoder = self.encoder
        rows, columns = encoder.config.grid
        x = (encoder.embed(patchify(window, encoder.config.patch)) + encoder.positions).flatten(1, 2)
        if encoder.cls is not None:
            x = torch.cat([encoder.cls.expand(len(x), 1, -1), x], dim=1)
        for block in encoder.blocks:
            assert isinstance(block, Block)
            x = x + eager_attention(block.attention, block.attention_norm(x))
            x = x + block.mlp(block.mlp_norm(x))
        x = encoder.norm(x)[:, -rows * columns :]
        return x.unflatten(1, (rows, columns)).transpose(1, 2).flatten(2)


def eager_attention(layer: Attention, x: Tensor) -> Tensor:
    """The layer's attention with an explicit attention matrix."""
    batch, tokens, dim = x.shape
    q, k, v = layer.qkv(x).reshape(batch, tokens, 3, layer.heads, dim // layer.heads).permute(2, 0, 3, 1, 4)
    weights = ((q @ k.transpose(-2, -1)) * (dim // layer.heads) ** -0.5).softmax(dim=-1)
    return layer.out((weights @ v).transpose(1, 2).reshape(batch, tokens, dim))


def window_per_timestamp(embedder: Embedder, audio: Tensor, window: float = 0.16, hop: float = 0.04) -> Tensor:
    """hear21passt's timestamps on any model, (batch, timestamps, dim): one window of sound after another.

    That package cuts 160 ms around each timestamp and runs the model on them one timestamp at a time.
    """
    samples, step = (int(seconds * embedder.sample_rate) for seconds in (window, hop))
    padded = nn.functional.pad(audio[:, None], (samples // 2, samples // 2), mode="reflect")[:, 0]
    return torch.stack([embedder.scene(part) for part in padded.unfold(1, samples, step).unbind(1)], dim=1)
