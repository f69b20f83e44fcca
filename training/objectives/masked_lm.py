"""Masked language modelling of codes: which places to hide, what stands there instead, and the head that guesses.

Devlin et al., "BERT" (arXiv 1810.04805), with the corruption of its section 3.1. Moments of 13 to 20 ms leak into each
other: a model can lower its loss by copying a neighbour. ``copied`` is the baseline that tells.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.layers import Linear

Mode = Literal["token", "span"]
MASKED, REPLACED = 0.8, 0.1  # of the chosen places: those that show a mask, those that show another code


class MaskedHead(nn.Module):
    """Guesses codes from hidden states; its last matrix is the word table itself."""

    def __init__(self, width: int, vocabulary: int, epsilon: float) -> None:
        super().__init__()
        self.transform = nn.ModuleDict({"dense": Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=epsilon)})
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.normal_(self.transform["dense"].weight, std=0.02)  # type: ignore[arg-type]
        nn.init.zeros_(self.transform["dense"].bias)  # type: ignore[arg-type]

    def forward(self, states: Tensor, table: Tensor, rows: slice = slice(None)) -> Tensor:
        """Hidden states (..., width) and the word table -> logits of the words in ``rows``, (..., words)."""
        x = self.transform["LayerNorm"](F.gelu(self.transform["dense"](states)))
        return F.linear(x, table[rows].to(x.dtype), self.bias[rows].to(x.dtype))


def choose(allowed: Tensor, share: float, mode: Mode = "token", span: int = 10) -> Tensor:
    """Places to guess, (batch, frames), among those allowed; at least one wherever any is.

    Args:
        share: expected share of places.
        mode: "token" draws each by itself, "span" draws beginnings of runs of ``span`` frames, which may overlap.
    """
    draw = torch.rand(allowed.shape, device=allowed.device)
    if mode == "token":
        chosen = draw < share
    else:
        starts = (draw < 1 - (1 - share) ** (1 / span)).float()
        chosen = F.max_pool1d(F.pad(starts, (span - 1, 0))[:, None], span, stride=1)[:, 0] > 0
    chosen = chosen & allowed
    places = torch.arange(allowed.shape[1], device=allowed.device)
    first = (places == torch.where(allowed, draw, 2.0).argmin(1, keepdim=True)) & allowed
    return torch.where(chosen.any(1, keepdim=True), chosen, first)


def corrupt(codes: Tensor, chosen: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """What the model is shown: codes (batch, frames, ...), some replaced, and where a mask hides them, (batch, frames).

    Replacements are other draws from the same ``count`` codes, never special tokens, never another codebook's.
    """
    draw = torch.rand(chosen.shape, device=codes.device)
    hidden = chosen & (draw < MASKED)
    replaced = chosen & (draw >= MASKED) & (draw < MASKED + REPLACED)
    replaced = replaced.reshape(*chosen.shape, *(1,) * (codes.ndim - chosen.ndim))
    return torch.where(replaced, torch.randint_like(codes, count), codes), hidden


def copied(codes: Tensor, chosen: Tensor) -> Tensor:
    """The guess that needs no model: each chosen place repeats the last code before it that was not chosen.

    Before the first of them, -1, which is no code. (batch, frames) -> the same.
    """
    frames = torch.arange(codes.shape[1], device=codes.device).expand_as(codes)
    last = torch.where(chosen, -1, frames).cummax(1).values
    return torch.where(last < 0, -1, codes.gather(1, last.clamp(min=0)))


def entropy(codes: Tensor, count: int, weights: Tensor) -> Tensor:
    """Of the codes' frequencies, in nats: what guessing by frequency costs; ``weights`` is 0 at what is left out."""
    counts = torch.zeros(count, device=codes.device).index_add(0, codes.flatten(), weights.flatten().float())
    shares = counts / counts.sum().clamp(min=1)
    return -(shares * shares.clamp(min=1e-12).log()).sum()
