"""Codebooks that learn by averages: every entry follows the mean of the vectors that chose it.

Van den Oord et al., "Neural Discrete Representation Learning" (arXiv 1711.00937), appendix A.1, with what keeps a
residual quantiser alive: a start from clusters of real latents, and new lives for entries that nobody chooses. All of
it runs in float32, without gradients, and alike on every process.
"""

import torch
from torch import Tensor, distributed, nn

from hear_audioformer.codec.quantiser import Codebook, Quantiser

DECAY = 0.99
SMOOTHING = 1e-5
DEAD = 0.3  # of the count that an entry would have if all were chosen alike
PATIENCE = 100  # updates of a codebook from one search for dead entries to the next
ITERATIONS = 10  # of k-means


class Averages(nn.Module):
    """Running counts and sums behind one codebook, which is only referred to: its owner is the codec."""

    counts: Tensor
    sums: Tensor
    updates: Tensor

    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        codes, dim = codebook.embed.shape
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, dim))
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def start(self, codebook: Codebook, vectors: Tensor) -> None:
        """Begins with the clusters of some vectors (n, dim); the first process's serve all."""
        centres = shared(clusters(vectors.float(), len(codebook.embed)))
        codebook.embed.copy_(centres)
        self.counts.fill_(1.0)
        self.sums.copy_(centres)

    @torch.no_grad()
    def update(self, codebook: Codebook, vectors: Tensor, codes: Tensor) -> None:
        """Moves the entries a little towards the vectors (n, dim) that chose them; a batch with NaN moves nothing."""
        vectors, codes = vectors.detach().float(), codes.flatten()
        counts = torch.zeros_like(self.counts).index_add_(0, codes, torch.ones_like(vectors[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, codes, vectors)
        counts, sums = summed(counts), summed(sums)
        step = (1 - DECAY) * torch.isfinite(sums).all()
        self.counts.lerp_(counts, step)
        self.sums.copy_(torch.where(step > 0, self.sums.lerp(sums, step), self.sums))
        total = self.counts.sum()
        smoothed = (self.counts + SMOOTHING) / (total + len(counts) * SMOOTHING) * total
        codebook.embed.copy_(self.sums / smoothed[:, None])
        self.updates += 1

    @torch.no_grad()
    def revive(self, codebook: Codebook, vectors: Tensor) -> Tensor:
        """Every ``PATIENCE`` updates, puts random vectors of the batch in the place of entries that died; how many."""
        due = (self.updates > 0) & (self.updates % PATIENCE == 0)
        expected = self.counts.sum() / len(self.counts)
        dead = (self.counts < DEAD * expected) & due & torch.isfinite(vectors).all()
        choice = torch.randint(len(vectors), (len(self.counts),), device=vectors.device)
        dead, fresh = shared(dead), shared(vectors.detach().float()[choice])
        codebook.embed.copy_(torch.where(dead[:, None], fresh, codebook.embed))
        self.counts.copy_(torch.where(dead, expected, self.counts))
        self.sums.copy_(torch.where(dead[:, None], fresh * expected, self.sums))
        return dead.sum()


def clusters(vectors: Tensor, count: int) -> Tensor:
    """Centres of k-means, (count, dim), from random vectors on; too few of them repeat with some noise."""
    order = torch.randperm(len(vectors), device=vectors.device)
    centres = vectors[order[torch.arange(count, device=vectors.device) % len(vectors)]].clone()
    if len(vectors) < count:
        centres += 1e-3 * vectors.std() * torch.randn_like(centres)
    for _ in range(ITERATIONS):
        nearest = (vectors @ centres.T - centres.square().sum(1) / 2).argmax(1)
        sizes = torch.zeros(count, device=vectors.device).index_add_(0, nearest, torch.ones_like(vectors[:, 0]))
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    return centres


def start_all(quantiser: Quantiser, averages: nn.ModuleList, latents: Tensor) -> None:
    """Starts codebook after codebook, each on what the ones before it leave of the latents (n, dim)."""
    residual = latents.float()
    for codebook, average in zip(quantiser.codebooks, averages, strict=True):
        average.start(codebook, residual)  # type: ignore[operator]
        residual = residual - codebook(codebook.nearest(residual))


def summed(x: Tensor) -> Tensor:
    """The sum over all processes."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(x)
    return x


def shared(x: Tensor) -> Tensor:
    """The first process's value, on all of them."""
    if distributed.is_available() and distributed.is_initialized():
        x = x.contiguous()
        distributed.broadcast(x, src=0)
    return x
