"""RoBERTa against transformers: the same tests as RoFormer's, on the other file, and its positions.

The file names its own sizes; $GOLDENS may name a folder with another one of the same layout.
"""

import pytest
import torch
from torch import Tensor

from hear_audioformer.audioformer.language import Backbone
from tests.language_goldens import Golden


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("roberta")


@pytest.fixture(scope="module")
def model(golden: Golden) -> Backbone:
    return golden.backbone()


@pytest.fixture(scope="module")
def states(golden: Golden, model: Backbone) -> list[Tensor]:
    return golden.states(model)


def test_more_tokens_than_positions_are_refused(golden: Golden, model: Backbone) -> None:
    longest, code = golden.config["max_position_embeddings"] - 2, golden.config["special"]["code_offset"]
    with pytest.raises(ValueError, match=f"{longest + 1} tokens do not fit into the {longest} that this model"):
        model(model.words(torch.full((1, longest + 1), code)))
    assert len(model(model.words(torch.full((1, longest), code)))) == golden.config["num_hidden_layers"] + 1
