"""The residual quantiser: each codebook quantises the residual of the codebooks before it."""

import torch
from torch import Tensor, nn


class Codebook(nn.Module):
    """A table of vectors, (codes, dim); a buffer, because training moves it by averages and not by gradients."""

    embed: Tensor

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(codes, dim))

    def nearest(self, x: Tensor) -> Tensor:
        """Vectors (..., dim) -> the index of the nearest entry, (...).

        In float64, where the expanded distance loses no digits and no near tie depends on how a product was summed.
        """
        table = self.embed.double()
        score = x.double() @ table.T - table.square().sum(-1) / 2  # falls with the distance; |x|^2 is the same for all
        return score.argmax(-1)

    def forward(self, codes: Tensor) -> Tensor:
        return self.embed[codes]


class Layer(nn.Module):
    """One stage; only there to give its codebook the published name."""

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.codebook = Codebook(codes, dim)


class Quantiser(nn.Module):
    """A stack of codebooks."""

    def __init__(self, codebooks: int, codes: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(codes, dim) for _ in range(codebooks))

    @property
    def codebooks(self) -> list[Codebook]:
        """The codebooks, coarse to fine."""
        return [layer.codebook for layer in self.layers]  # type: ignore[misc]

    def encode(self, latent: Tensor, count: int | None = None) -> Tensor:
        """Latents (batch, dim, frames) -> codes of the first ``count`` codebooks, (batch, count, frames)."""
        residual = latent.mT
        codes = []
        for codebook in self.codebooks[:count]:
            codes.append(codebook.nearest(residual))
            residual = residual - codebook(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (batch, count, frames) -> the sum of their vectors, (batch, dim, frames)."""
        parts = [codebook(code) for codebook, code in zip(self.codebooks, codes.unbind(1), strict=False)]
        return torch.stack(parts).sum(0).mT
