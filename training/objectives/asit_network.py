"""What ASiT's student and teacher are made of: an encoder, a projector for distillation, a painter of hidden pixels."""

from dataclasses import asdict, dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.asit import Asit
from hear_audioformer.layers import Linear

from .distil import Projector


@dataclass(frozen=True)
class Heads:
    """Sizes of what stands on the encoder: the projector of both distillations, and the painter."""

    hidden: int = 2048
    bottleneck: int = 256
    cls: int = 8192
    patch: int = 1024
    shared: bool = False
    paint_hidden: int = 768
    paint_bottleneck: int = 128


class Painter(nn.Module):
    """Patch tokens -> pixels: an MLP, then a linear map onto each patch with one bias for all pixels."""

    def __init__(self, dim: int, side: int, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Linear(dim, hidden), Linear(hidden, hidden), Linear(hidden, bottleneck)])
        self.spread = Linear(bottleneck, side**2, bias=False)
        self.level = nn.Parameter(torch.zeros(1))
        self.side = side

    def forward(self, patches: Tensor, rows: int) -> Tensor:
        """(batch, columns * rows, dim) -> (batch, frames, bands)."""
        for layer in self.layers:
            patches = F.gelu(layer(patches))
        pixels = self.spread(patches) + self.level
        return rearrange(pixels, "b (t m) (h w) -> b (t h) (m w)", m=rows, h=self.side)


class Network(nn.Module):
    """An encoder and its heads; the student and the teacher are one each."""

    def __init__(self, encoder: Asit, heads: Heads) -> None:
        super().__init__()
        width = encoder.config.width
        options = {name: value for name, value in asdict(heads).items() if not name.startswith("paint_")}
        self.encoder = encoder
        self.project = Projector(width, **options)
        self.paint = Painter(width, encoder.config.patch, heads.paint_hidden, heads.paint_bottleneck)

    def tokens(self, features: Tensor) -> Tensor:
        """Features -> encoded tokens, CLS first; views of another length get stretched positions."""
        return self.encoder.run(self.encoder.tokens(features, "stretch"), [self.encoder.depth])[0]


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """The published initial weights of an encoder, or of a whole network: narrow truncated normal matrices and tokens,
    zero biases.

    Patch embedding, prototypes and the painter's last map keep the defaults of the layers that they stand for.
    """
    encoders = [part for part in module.modules() if isinstance(part, Asit)]
    painters = [part for part in module.modules() if isinstance(part, Painter)]
    kept = [*(encoder.embed for encoder in encoders), *(painter.spread for painter in painters)]
    for part in module.modules():
        if isinstance(part, nn.Linear) and part not in kept:
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
    for encoder in encoders:
        for token in (encoder.cls, encoder.positions):
            nn.init.trunc_normal_(token, std=0.02)
        for tensor in (encoder.embed.weight, encoder.embed.bias):
            nn.init.uniform_(tensor, -1 / encoder.config.patch, 1 / encoder.config.patch)
    for painter in painters:
        for tensor in (painter.spread.weight, painter.level):
            nn.init.uniform_(tensor, -1 / painter.side, 1 / painter.side)
