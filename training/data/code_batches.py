"""Batches of codes: windows of a coded corpus, and synthetic sounds, which are encoded as they are made."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .codes import Coded, Codes
from .crops import Places
from .synth import synthesise


class CodeCrops:
    """Random windows of a resident coded corpus; the codes of a shorter clip are repeated.

    The codes of a window know of the sound before it. Those of a crop's waveform do not, and differ in its first
    frames, as far as the codec remembers; from the start of a clip on, both are the same.

    Args:
        codes: the corpus.
        frames: length of a window; ``codebooks`` of its codes are given.
        shares, cap: as of ``Places``.
        device: where the corpus is kept.
    """

    def __init__(
        self,
        codes: Codes,
        frames: int,
        codebooks: int,
        shares: Mapping[str, float],
        *,
        cap: float = 0.08,
        device: torch.device | str,
    ) -> None:
        self.codebooks = codebooks
        self.places = Places(codes, frames, shares, cap=cap, device=device)
        self.rows = torch.from_numpy(codes.rows).to(device)
        self.offsets = torch.as_tensor(codes.offsets).to(device)

    def __call__(self, batch: int, generator: torch.Generator) -> Coded:
        return self.cut(self.places(batch, generator))

    def cut(self, places: Tensor) -> Coded:
        """The windows at some places (batch, 3), as ``Places`` draws them."""
        clip, first, period = (column[:, None] for column in places.unbind(1))
        inside = (first + torch.arange(self.places.samples, device=places.device)) % period
        rows = self.rows[self.offsets[clip] + inside]
        return Coded(rows[..., : self.codebooks].int(), rows[..., -1] > 0)


class CodeBatches:
    """Batches for the loop.

    Args:
        reader: of real windows.
        encode: waveforms (batch, samples) -> their codes.
        samples, sample_rate: of a synthetic crop.
        synthetic: share of all crops that is made on the device.
    """

    def __init__(
        self, reader: CodeCrops, encode: Callable[[Tensor], Coded], samples: int, sample_rate: int, synthetic: float
    ) -> None:
        self.reader, self.encode, self.synthetic = reader, encode, synthetic
        self.samples, self.sample_rate = samples, sample_rate

    def __call__(self, batch: int, generator: torch.Generator) -> Coded:
        """Codes on the generator's device; real windows come first."""
        made = round(batch * self.synthetic)
        parts = [self.reader(batch - made, generator)]
        if made:
            parts.append(self.encode(synthesise(made, self.samples, self.sample_rate, generator)))
        return Coded(*(torch.cat(column) for column in zip(*parts, strict=True)))
