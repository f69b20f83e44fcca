"""Multi-positive contrast: several vectors of one recording attract each other and repel those of all others.

The second loss of AudioFormer (arXiv 2308.07221): the vectors of a recording are means over its code sequences, one for
each codebook. In the form of Khosla et al. (arXiv 2004.11362) that averages over positives outside the logarithm.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..precision import exact

Anchors = Literal["all", "first"]


def per_anchor(vectors: Tensor, audio: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The loss of every row as an anchor, (rows,), and whether it has a partner; those without only repel.

    Args:
        vectors: (rows, dim); stop the gradient of frozen ones before.
        audio: which recording each row is of, (rows,).
    """
    if len(vectors) < 2:
        raise ValueError("a contrast needs at least two vectors: raise the batch, or the number of codebooks")
    unit = F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1, eps=1e-12)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similar = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    partners = (audio[:, None] == audio) & ~itself
    count = partners.sum(1)
    mean = similar.masked_fill(~partners, 0).sum(1) / count.clamp(min=1)
    return similar.logsumexp(1) - mean, count > 0


def mpc(vectors: Tensor, audio: Tensor, view: Tensor, *, temperature: float = 0.05, anchors: Anchors = "all") -> Tensor:
    """The mean loss of the anchors that have a partner: of all rows, or of those of view 0 alone."""
    with exact(vectors.device.type):
        losses, valid = per_anchor(vectors, audio, temperature)
    valid = valid & (view == 0) if anchors == "first" else valid
    return torch.where(valid, losses, 0).sum() / valid.sum().clamp(min=1)


def joint(loss: Tensor, contrast: Tensor, alpha: float) -> Tensor:
    """The main loss and the contrast as one; ``alpha`` is the main loss's share."""
    return alpha * loss + (1 - alpha) * contrast


@torch.no_grad()
def separation(vectors: Tensor, audio: Tensor) -> Tensor:
    """How much higher the mean cosine of partners is than that of strangers; it must rise."""
    unit = F.normalize(vectors.float(), dim=1)
    cosine = unit @ unit.T
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    partners = (audio[:, None] == audio) & ~itself
    strangers = audio[:, None] != audio
    means = [(cosine * pairs).sum() / pairs.sum().clamp(min=1) for pairs in (partners, strangers)]
    return means[0] - means[1]


@torch.no_grad()
def rank(vectors: Tensor, share: float = 0.9) -> Tensor:
    """Principal components that hold this share of the vectors' variance; it must not collapse."""
    variances = torch.linalg.svdvals(vectors.float() - vectors.float().mean(0)).square()
    held = variances.cumsum(0) / variances.sum().clamp(min=1e-30)
    return (held < share).sum().float() + 1
