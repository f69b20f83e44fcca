"""The language models that read codes: RoFormer (rotary positions) and RoBERTa (learnt positions).

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (arXiv 2104.09864); Liu et al., "RoBERTa"
(arXiv 1907.11692). Both are post-norm BERT encoders. Attribute names make the state dict's names those of Hugging
Face's models without their first word, so that weights move either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import Linear

Arch = Literal["roformer", "roberta"]
PAD = 1  # RoBERTa's position of padding; real positions follow


@dataclass(frozen=True)
class Sizes:
    """What makes one backbone.

    Attributes:
        width, depth, heads, hidden: of the transformer; ``hidden`` is the width inside an MLP.
        vocabulary, types: rows of the tables of word and of token type embeddings.
        positions: the longest sequence, with its first and last token; RoFormer has no such limit.
        dropout: in training, of embeddings, attention and both branches of a layer.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    vocabulary: int
    types: int = 1
    positions: int = 512
    arch: Arch = "roformer"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.arch not in ("roformer", "roberta"):
            raise ValueError(f'arch={self.arch!r}: choose "roformer" or "roberta"')
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} cannot be split into {self.heads} heads")
        if self.arch == "roformer" and self.width // self.heads % 2:
            raise ValueError(f"a width of {self.width} cannot be split into {self.heads} heads of an even width")

    @property
    def epsilon(self) -> float:
        """What the norms add to a variance."""
        return 1e-12 if self.arch == "roformer" else 1e-5


class Embeddings(nn.Module):
    """The sum of word and token type embeddings and, in RoBERTa, positions."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(sizes.vocabulary, sizes.width)
        self.token_type_embeddings = nn.Embedding(sizes.types, sizes.width)
        learnt = sizes.arch == "roberta"
        self.position_embeddings = nn.Embedding(sizes.positions + PAD + 1, sizes.width) if learnt else None
        self.LayerNorm = nn.LayerNorm(sizes.width, eps=sizes.epsilon)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, words: Tensor, kinds: Tensor, mask: Tensor) -> Tensor:
        """Word vectors (batch, tokens, width), kinds and a mask (batch, tokens) -> the first hidden state."""
        x = words + self.token_type_embeddings(kinds)
        if self.position_embeddings is not None:
            positions = mask.long().cumsum(1) * mask.long() + PAD
            if int(mask.shape[1]) > self.position_embeddings.num_embeddings - PAD - 1:
                longest = self.position_embeddings.num_embeddings - PAD - 1
                raise ValueError(f"{mask.shape[1]} tokens do not fit into the {longest} that this model was trained on")
            x = x + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(x))


class Layer(nn.Module):
    """One post-norm block: attention, then an MLP, each added to its input and then normalised."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.p = sizes.dropout
        width, epsilon = sizes.width, sizes.epsilon
        projections = nn.ModuleDict({name: Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": projections, "output": _output(width, width, epsilon)})
        self.intermediate = nn.ModuleDict({"dense": Linear(width, sizes.hidden)})
        self.output = _output(sizes.hidden, width, epsilon)
        self.dropout = nn.Dropout(sizes.dropout)

    @property
    def projections(self) -> nn.ModuleDict:
        """The linear layers "query", "key" and "value"."""
        return cast(nn.ModuleDict, self.attention["self"])

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        """(batch, tokens, width) -> the same; ``turn`` holds rotary cosines and sines, ``mask`` is attention's."""
        x = self._close(cast(nn.ModuleDict, self.attention["output"]), self._attend(x, turn, mask), x)
        return self._close(self.output, F.gelu(self.intermediate["dense"](x)), x)

    def _attend(self, x: Tensor, turn: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        q, k, v = (
            rearrange(self.projections[name](x), "b n (h d) -> b h n d", h=self.heads)
            for name in ("query", "key", "value")
        )
        if turn is not None:
            q, k = (rotate(part, *turn) for part in (q, k))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.p if self.training else 0.0)
        return rearrange(attended, "b h n d -> b n (h d)")

    def _close(self, output: nn.ModuleDict, branch: Tensor, x: Tensor) -> Tensor:
        """Adds a branch to its input and normalises the sum."""
        return output["LayerNorm"](x + self.dropout(output["dense"](branch)))


class Backbone(nn.Module):
    """A language model of one or several code sequences."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = Embeddings(sizes)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(sizes) for _ in range(sizes.depth))})
        self.apply(draw)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's layers."""
        return cast(nn.ModuleList, self.encoder["layer"])

    def words(self, ids: Tensor) -> Tensor:
        """Ids (batch, tokens) -> word vectors (batch, tokens, width)."""
        return self.embeddings.word_embeddings(ids)

    def forward(self, words: Tensor, kind: int | Tensor = 0, mask: Tensor | None = None) -> list[Tensor]:
        """Word vectors (batch, tokens, width) -> all hidden states: the embeddings', then one for each layer.

        Args:
            kind: token type of every sequence: one number, or (batch,).
            mask: 1 at tokens and 0 at padding on the right, (batch, tokens); None without padding.
        """
        shape = words.shape[:2]
        kinds = torch.as_tensor(kind, device=words.device).reshape(-1, 1).expand(shape)
        tokens = torch.ones(shape, dtype=torch.long, device=words.device) if mask is None else mask
        states = [self.embeddings(words, kinds, tokens)]
        turn = rotary(shape[1], self.sizes, words.device) if self.sizes.arch == "roformer" else None
        visible = None if mask is None else mask.bool()[:, None, None]
        for block in self.blocks:
            states.append(block(states[-1], turn, visible))
        return states


def rotary(tokens: int, sizes: Sizes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position's angles, (tokens, head width / 2) each; positions count from 0."""
    width = sizes.width // sizes.heads
    rates = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
    angles = torch.arange(tokens, dtype=torch.float64, device=device)[:, None] * rates
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair of neighbouring values by its position's angle, (..., tokens, width) -> the same."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2).to(x.dtype)


def pooled(states: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean over all tokens but padding, first and last included, (batch, tokens, width) -> (batch, width)."""
    if mask is None:
        return states.mean(1)
    weights = mask.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1)


def layers_of(states: Sequence[Tensor], numbers: Sequence[int], average: int) -> list[Tensor]:
    """Outputs of layers counted from 1; the last number stands for the mean of the last ``average`` layers."""
    mean = torch.stack([state.float() for state in states[-average:]]).mean(0)
    return [mean if number == len(states) - 1 else states[number] for number in numbers]


def _output(inputs: int, width: int, epsilon: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": Linear(inputs, width), "LayerNorm": nn.LayerNorm(width, eps=epsilon)})


def draw(module: nn.Module) -> None:
    """BERT's initial weights."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
