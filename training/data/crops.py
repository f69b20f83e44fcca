"""Which crops of a corpus make a batch, and the batch itself where the corpus lives on the device.

A batch is a function of its generator's seed and nothing else, so a run that was killed goes on with the very crops it
would have drawn, on however many processes.

Music is three quarters of any free corpus, and single packages a tenth of it. Drawing goes by kind first, with stated
shares, then by clip, so that a package has at most a given share of all draws.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from corpora.pack import Pack

LONG = 30.0  # crops' worth of a clip beyond which length earns no more draws


class Listing(Protocol):
    """What drawing has to know of a corpus's clips."""

    @property
    def lengths(self) -> np.ndarray: ...
    @property
    def kinds(self) -> list[str]: ...
    @property
    def kind_of(self) -> np.ndarray: ...
    @property
    def packages(self) -> list[str]: ...
    @property
    def package_of(self) -> np.ndarray: ...


class Places:
    """Where the crops of a batch are: one row (clip, first sample, period) each, int64.

    Sample ``i`` of a crop is the clip's sample ``(first + i) % period``, or silence where the clip has none of that
    number: a period of the clip's length repeats it, one of the crop's length has it once with silence around.

    Args:
        clips: of a corpus.
        samples: length of a crop; a shorter clip is repeated from a random point until it fills one.
        shares: share of the draws by kind; kinds that the corpus lacks are left out and the rest scaled up.
        cap: the largest share of all draws that one package may have, where its kind has others to take its place.
        once: share of the shorter clips that are heard once instead, anywhere in the crop.
        device: where the draws are made.
    """

    def __init__(
        self,
        clips: Listing,
        samples: int,
        shares: Mapping[str, float],
        *,
        cap: float = 0.08,
        once: float = 0.0,
        device: torch.device | str,
    ) -> None:
        self.samples, self.once = samples, once
        self.lengths = torch.as_tensor(clips.lengths).to(device)
        self.cumulative = draw_odds(clips, samples, shares, cap).cumsum(0).to(device)

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, 3), on the device."""
        device = self.lengths.device
        draws = torch.rand(batch, 2, generator=generator, dtype=torch.float64, device=device)
        clip = torch.searchsorted(self.cumulative, draws[:, 0] * self.cumulative[-1], right=True)
        clip = clip.clamp(max=len(self.lengths) - 1)
        length = self.lengths[clip]
        room = torch.where(length > self.samples, length - self.samples + 1, length)
        first, period = (draws[:, 1] * room).long(), length
        if self.once > 0:
            chosen = torch.rand(batch, generator=generator, device=device) < self.once
            chosen &= length < self.samples
            silence = (draws[:, 1] * (self.samples - length + 1)).long()  # before the clip
            first = torch.where(chosen, (self.samples - silence) % self.samples, first)
            period = torch.where(chosen, self.samples, period)
        return torch.stack([clip, first, period], dim=1)


class Crops:
    """Random crops of a resident corpus: no loader, nothing to wait for.

    Args:
        pack: the corpus.
        samples, shares, cap, once: as of ``Places``.
        device: where the corpus is kept, as int16.
    """

    def __init__(
        self,
        pack: Pack,
        samples: int,
        shares: Mapping[str, float],
        *,
        cap: float = 0.08,
        once: float = 0.0,
        device: torch.device | str,
    ) -> None:
        self.pack, self.device = pack, torch.device(device)
        self.places = Places(pack, samples, shares, cap=cap, once=once, device=device)
        if self.device.type != "cpu":
            self.audio = torch.as_tensor(pack.samples).to(device)
            self.offsets = torch.as_tensor(pack.offsets).to(device)

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        """(batch, samples), float32 in [-1, 1), on the corpus's device."""
        places, samples = self.places(batch, generator), self.places.samples
        if self.device.type == "cpu":
            rows = [cut(self.pack.clip(clip), first, period, samples) for clip, first, period in places.tolist()]
            crops = torch.from_numpy(np.stack(rows))
        else:
            crops = cut_all(self.audio, self.offsets, self.places.lengths, places, samples)
        return crops.float() / 32768


def cut_all(audio: Tensor, offsets: Tensor, lengths: Tensor, places: Tensor, samples: int) -> Tensor:
    """The crops of a batch at once, which is what a GPU does fast: (batch, samples).

    Args:
        audio: all clips, one behind the other; ``offsets`` and ``lengths`` say where each is.
        places: as ``Places`` draws them.
    """
    clip, first, period = (column[:, None] for column in places.unbind(1))
    inside = (first + torch.arange(samples, device=places.device)) % period
    return audio[offsets[clip] + torch.minimum(inside, lengths[clip] - 1)] * (inside < lengths[clip])


def cut(clip: np.ndarray, first: int, period: int, samples: int) -> np.ndarray:
    """One crop of one clip, which is what a CPU does fast: a copy of a run of samples, most of the time."""
    if first + samples <= len(clip):
        return clip[first : first + samples]
    inside = (first + np.arange(samples)) % period
    return np.where(inside < len(clip), clip[np.minimum(inside, len(clip) - 1)], 0).astype(clip.dtype, copy=False)


def draw_odds(clips: Listing, samples: int, shares: Mapping[str, float], cap: float) -> Tensor:
    """The odds of each clip, (clips,), float64, summing to one."""
    worth = (torch.as_tensor(clips.lengths).double() / samples).clamp(1.0, LONG)
    kind_of, package_of = torch.as_tensor(clips.kind_of).long(), torch.as_tensor(clips.package_of).long()
    odds = torch.zeros_like(worth)
    for kind, share in shares.items():
        of_kind = (
            kind_of == clips.kinds.index(kind) if kind in clips.kinds else torch.zeros_like(kind_of, dtype=torch.bool)
        )
        if share > 0 and of_kind.any():
            by_package = torch.zeros(len(clips.packages), dtype=torch.float64)
            by_package.index_add_(0, package_of[of_kind], worth[of_kind])
            scale = capped(by_package, cap / share) / by_package.clamp(min=1e-12)
            odds[of_kind] = share * worth[of_kind] * scale[package_of[of_kind]]
    if not odds.any():
        even = ", ".join(f"{kind}: 1" for kind in clips.kinds)
        raise ValueError(
            f"the corpus holds {', '.join(clips.kinds)}, the recipe's shares name {', '.join(shares)}: add "
            f"'data.shares={{{even}}}' to the command, or make the corpus from a table with a column kind"
        )
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
