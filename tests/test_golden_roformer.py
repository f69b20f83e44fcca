"""RoFormer against transformers: every hidden state, logits and loss, pooling, a sequence without its neighbours.

The file names its own sizes; $GOLDENS may name a folder with another one of the same layout.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hear_audioformer.audioformer.language import Backbone, pooled, rotary
from tests.language_goldens import TOLERANCE, Golden

ARCH = "roformer"


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden(ARCH)


@pytest.fixture(scope="module")
def model(golden: Golden) -> Backbone:
    return golden.backbone()


@pytest.fixture(scope="module")
def states(golden: Golden, model: Backbone) -> list[Tensor]:
    return golden.states(model)


def test_every_hidden_state(golden: Golden, states: list[Tensor]) -> None:
    where = golden.mask.bool().expand(len(states), -1, -1)
    golden.near(torch.stack(states), "hidden_states", where)
    golden.near(states[-1], "last_hidden_state", golden.mask.bool())


def test_logits_and_loss(golden: Golden, model: Backbone, states: list[Tensor]) -> None:
    with torch.no_grad():
        logits = golden.head()(states[-1], model.embeddings.word_embeddings.weight)
    golden.near(logits, "logits", golden.mask.bool())
    loss = F.cross_entropy(logits.flatten(0, 1), golden["labels"].flatten())
    golden.near(loss, "loss")


def test_pooling_over_everything_and_over_frames(golden: Golden, states: list[Tensor]) -> None:
    golden.near(pooled(states[-1], golden.mask), "mean_pool_all")
    special = golden.config["special"]
    frames = golden.mask * (golden.ids != special["boa"]) * (golden.ids != special["eoa"])
    golden.near(pooled(states[-1], frames), "mean_pool_frames_only")


def test_a_sequence_alone(golden: Golden, model: Backbone, states: list[Tensor]) -> None:
    """The first, which has no padding, without a mask: and every other one, cut to its own length."""
    with torch.no_grad():
        golden.near(model(model.words(golden.ids[:1]))[-1], "no_mask_last_hidden_state")
        for row, length in enumerate(golden.mask.sum(1).tolist()):
            alone = model(model.words(golden.ids[row : row + 1, :length]))[-1]
            assert (alone[0] - states[-1][row, :length]).abs().max() <= TOLERANCE


def test_rotary_angles_are_the_stored_table(golden: Golden, model: Backbone) -> None:
    """transformers keeps sines, then cosines; the table is fixed, so that ours need not be loaded."""
    table = golden["param/roformer.encoder.embed_positions.weight"]
    cos, sin = rotary(len(table), model.sizes, torch.device("cpu"))
    assert (torch.cat([sin, cos], dim=1) - table).abs().max() < 1e-6
