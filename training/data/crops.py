"""Training crops from a corpus that lives on the device: no loader, nothing to wait for.

A batch is a function of its generator's seed and nothing else, so a run that was killed goes on with the very crops it
would have drawn, on however many processes.

Music is three quarters of any free corpus, and single packages a tenth of it. Drawing goes by kind first, with stated
shares, then by clip, so that a package has at most a given share of all draws.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .pack import Pack

LONG = 30.0  # crops' worth of a clip beyond which length earns no more draws


class Crops:
    """Random crops of a resident corpus.

    Args:
        pack: the corpus.
        samples: length of a crop; a shorter clip is repeated from a random point until it fills one.
        shares: share of the draws by kind; kinds that the pack lacks are left out and the rest scaled up.
        cap: the largest share of all draws that one package may have, where its kind has others to take its place.
        device: where the corpus is kept, as int16.
    """

    def __init__(
        self, pack: Pack, samples: int, shares: Mapping[str, float], *, cap: float = 0.08, device: torch.device | str
    ) -> None:
        self.samples = samples
        self.audio = torch.as_tensor(pack.samples).to(device)
        self.offsets = torch.as_tensor(pack.offsets).to(device)
        self.lengths = torch.as_tensor(pack.lengths).to(device)
        self.cumulative = draw_odds(pack, samples, shares, cap).cumsum(0).to(device)

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, samples), float32 in [-1, 1), on the corpus's device."""
        device = self.audio.device
        draws = torch.rand(batch, 2, generator=generator, dtype=torch.float64, device=device)
        clip = torch.searchsorted(self.cumulative, draws[:, 0] * self.cumulative[-1], right=True)
        clip = clip.clamp(max=len(self.lengths) - 1)
        length = self.lengths[clip]
        room = torch.where(length > self.samples, length - self.samples + 1, length)
        start = (draws[:, 1] * room).long()
        inside = (start[:, None] + torch.arange(self.samples, device=device)) % length[:, None]
        return self.audio[self.offsets[clip][:, None] + inside].float() / 32768


def draw_odds(pack: Pack, samples: int, shares: Mapping[str, float], cap: float) -> Tensor:
    """The odds of each clip, (clips,), float64, summing to one."""
    worth = (torch.as_tensor(pack.lengths).double() / samples).clamp(1.0, LONG)
    kind_of, package_of = torch.as_tensor(pack.kind_of).long(), torch.as_tensor(pack.package_of).long()
    odds = torch.zeros_like(worth)
    for kind, share in shares.items():
        here = kind_of == pack.kinds.index(kind) if kind in pack.kinds else torch.zeros_like(kind_of, dtype=torch.bool)
        if share > 0 and here.any():
            by_package = torch.zeros(len(pack.packages), dtype=torch.float64)
            by_package.index_add_(0, package_of[here], worth[here])
            scale = capped(by_package, cap / share) / by_package.clamp(min=1e-12)
            odds[here] = share * worth[here] * scale[package_of[here]]
    if not odds.any():
        raise ValueError(f"the corpus holds {', '.join(pack.kinds)}, the recipe's shares name {', '.join(shares)}")
    return odds / odds.sum()


def capped(weights: Tensor, cap: float) -> Tensor:
    """Weights as shares of one, none above the cap as long as others can take what it leaves."""
    shares = weights / weights.sum()
    cap = max(cap, 1.0 / int((weights > 0).sum()))
    while (over := shares > cap + 1e-9).any():
        free = (shares > 0) & (shares < cap - 1e-9)
        spare = (shares[over] - cap).sum()
        shares = torch.where(over, torch.full_like(shares, cap), shares)
        if free.any():
            shares = torch.where(free, shares * (1 + spare / shares[free].sum()), shares)
    return shares / shares.sum()
