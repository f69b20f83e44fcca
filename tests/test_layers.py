"""Attention's two ways agree, and each is taken where it is meant to be."""

import pytest
import torch
from torch.nn import functional as F

from hear_audioformer import layers


def qkv(tokens: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, tokens, 8, generator=generator).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("biased", [False, True])
def test_written_out_attention_is_attention(biased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = qkv(17)
    if biased:
        inputs.append(torch.randn(2, 3, 17, 17, generator=torch.Generator().manual_seed(1)).requires_grad_())
    expected = F.scaled_dot_product_attention(*inputs)
    gradients = torch.autograd.grad(expected.square().sum(), inputs)
    monkeypatch.setattr(F, "scaled_dot_product_attention", None)  # so that it cannot be what answers
    found = layers.attend(*inputs)
    assert torch.allclose(found, expected, atol=1e-6)
    for mine, theirs in zip(torch.autograd.grad(found.square().sum(), inputs), gradients, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(("tokens", "trained"), [(17, False), (layers.PLAIN_TOKENS + 1, True)])
def test_long_or_untrained_attention_is_fused(tokens: int, trained: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, bias: "fused")
    with torch.set_grad_enabled(trained):
        assert layers.attend(*qkv(tokens)) == "fused"


@pytest.mark.parametrize("ratio", [4, 3.5, 2.7])
def test_the_width_inside_an_mlp_is_rounded_down(ratio: float) -> None:
    assert layers.hidden(48, ratio) == int(48 * ratio)


def test_a_ratio_of_widths_gives_the_width_back() -> None:
    """44 * (60 / 44) is 59.99999999999999."""
    assert all(layers.hidden(dim, inner / dim) == inner for dim in range(1, 200) for inner in range(1, 4 * dim))
