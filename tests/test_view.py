"""Inference runs on a view of the encoder: weights are followed at once, modes are neither read nor changed."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hear_audioformer.embedder import Embedder, Encoder
from hear_audioformer.layers import Linear
from hear_audioformer.view import evaluated
from tests.conftest import small_encoder

AUDIO = 0.1 * torch.randn(2, 12000, generator=torch.Generator().manual_seed(0))


def with_dropout(encoder: Encoder) -> Encoder:
    """Dropout behind the first norm of the first block, and, where blocks know it, branches that are left out."""
    block = encoder.blocks[0]
    block.drop_prob = 0.5
    path = next(name for name, module in block.named_modules() if isinstance(module, nn.LayerNorm))
    parent = block.get_submodule(path.rpartition(".")[0])
    parent._modules[path.rpartition(".")[2]] = nn.Sequential(block.get_submodule(path), nn.Dropout(0.5))
    return encoder


def test_a_model_is_in_evaluation_mode(encoder: Encoder) -> None:
    model = Embedder(encoder.train())
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_threads_neither_see_nor_lose_a_training_mode(encoder: Encoder, precision: Any) -> None:
    model = Embedder(with_dropout(encoder), precision=precision)
    wanted = model.scene(AUDIO)
    model.train()
    before = [module.training for module in model.modules()]
    assert all(before)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: (model.scene(AUDIO), [m.training for m in model.modules()]), range(24)))
    for scene, modes in found:
        assert torch.equal(scene, wanted)
        assert modes == before


def test_a_mode_that_changes_in_mid_forward_changes_nothing(encoder: Encoder) -> None:
    model = Embedder(with_dropout(encoder))
    wanted = model.scene(AUDIO)
    next(encoder.children()).register_forward_hook(lambda *_: encoder.train() and None)
    encoder.blocks[0].register_forward_hook(lambda *_: encoder.train() and None)  # type: ignore
    assert torch.equal(model.scene(AUDIO), wanted)
    assert encoder.training


CHANGES: dict[str, Callable[[nn.Parameter], Any]] = {
    "data": lambda p: p.data.mul_(0.5),
    "no_grad": lambda p: p.detach().mul_(0.5),
    "another": lambda p: setattr(p, "data", p.data * 0.5),
    "numpy": lambda p: p.detach().numpy().__imul__(0.5),
}


@pytest.mark.parametrize("how", list(CHANGES))
@pytest.mark.parametrize("part", ["blocks.0", "norm", "LayerNorm"])
def test_bf16_follows_every_change_of_a_weight(encoder: Encoder, how: str, part: str) -> None:
    if not any(part in name for name, _ in encoder.named_parameters()):
        pytest.skip("this method names no part so")
    model = Embedder(encoder, precision="bf16")
    before = model.scene(AUDIO)
    for name, parameter in encoder.named_parameters():
        if part in name:
            CHANGES[how](parameter)
    found = model.scene(AUDIO)
    assert not torch.equal(found, before)
    assert torch.equal(found, Embedder(copy.deepcopy(encoder), precision="bf16").scene(AUDIO))


def test_bf16_follows_parts_that_are_replaced_and_buffers_that_move(encoder: Encoder) -> None:
    model = Embedder(with_dropout(encoder), precision="bf16")
    model.scene(AUDIO)
    first: Any = next(module for module in encoder.blocks[0].modules() if isinstance(module, Linear))  # type: ignore
    first.weight = nn.Parameter(first.weight.detach() * 2)
    for buffer in encoder.buffers():
        if buffer.is_floating_point():
            buffer.data.mul_(1.01)
    assert torch.equal(model.scene(AUDIO), Embedder(copy.deepcopy(encoder), precision="bf16").scene(AUDIO))


def test_a_view_shares_all_but_what_is_cast(encoder: Encoder) -> None:
    def tensors(module: nn.Module) -> dict[str, Tensor]:
        return {**dict(module.named_parameters()), **dict(module.named_buffers())}

    mine = tensors(encoder.train())
    view = evaluated(encoder)
    assert all(tensor is mine[name] for name, tensor in tensors(view).items())
    assert not any(module.training for module in view.modules())
    assert all(module.training for module in encoder.modules())
    cast = evaluated(encoder, torch.bfloat16)
    for name, module in cast.named_modules():
        shared = module._parameters is encoder.get_submodule(name)._parameters
        assert shared != isinstance(module, Linear)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="torch 2.6 takes minutes to trace an Embedder")
@pytest.mark.skipif(torch.__version__.startswith("2.12."), reason="torch 2.12 fails inside when it traces an Embedder")
def test_a_compiled_model_embeds() -> None:
    """Of one method: it takes long."""
    encoder = small_encoder("msm-mae")
    wanted = Embedder(encoder).scene(AUDIO)
    compiled = torch.compile(Embedder(encoder), backend="eager")
    assert (compiled(AUDIO) - wanted).abs().max() < 1e-5
    encoder.train().blocks[0].compile(backend="eager")  # type: ignore
    assert torch.equal(Embedder(encoder).scene(AUDIO), wanted)
