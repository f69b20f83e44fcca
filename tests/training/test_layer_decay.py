"""Layer decay: which layer a parameter belongs to, and what its rate is."""

import pytest
import torch
from torch import nn

from evaluation.baselines.logmel import LogMelFrames
from hear_audioformer.audioformer import Audioformer
from hear_audioformer.embedder import Encoder
from tests.conftest import small_audioformer
from tests.training.test_loop import Line
from training import layer_decay
from training.loop import Settings, _groups
from training.objectives.classify import Classifier


class Stages(nn.Module):
    """Blocks in stages, something between them, something before and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(2))
        self.embed = nn.Linear(2, 2)
        self.stages = nn.ModuleList(nn.ModuleList(nn.Linear(2, 2) for _ in range(n)) for n in (1, 2))
        self.norm = nn.LayerNorm(2)


class Between(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ModuleList([nn.Linear(2, 2)])
        self.shrink = nn.Linear(2, 2)
        self.second = nn.ModuleList([nn.Linear(2, 2)])


def test_layers_count_from_the_waveform_to_the_head() -> None:
    numbers = layer_decay.layer_numbers(Stages())
    assert numbers["token"] == numbers["embed.weight"] == 0
    assert numbers["stages.0.0.weight"] == 1
    assert numbers["stages.1.0.bias"] == 2
    assert numbers["stages.1.1.bias"] == 3
    assert numbers["norm.weight"] == 4
    assert layer_decay.layer_numbers(Between())["shrink.weight"] == 2


def test_more_than_nine_blocks_are_told_apart() -> None:
    numbers = layer_decay.layer_numbers(nn.Sequential(nn.ModuleList(nn.Linear(1, 1) for _ in range(12))))
    assert numbers["0.1.weight"] == 2
    assert numbers["0.10.weight"] == 11


def test_an_encoder_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="no blocks in a ModuleList"):
        layer_decay.scales(LogMelFrames(1), 0.5)


def test_each_layer_of_every_method_gets_its_rate(encoder: Encoder) -> None:
    """Held against the groups that the optimiser is made of; no parameter is left out or taken twice, but a codec's,
    which does not learn."""
    objective = Classifier(encoder, 3, 16000, mode="layer-decay", decay=0.5, head_lr=10.0)
    names = {p: name for name, p in objective.named_parameters() if ".codec." not in name}
    groups = _groups(objective, Settings(steps=1, batch=1, lr=1.0, weight_decay=0.1))
    found = {names[p]: group for group in groups for p in group["params"]}
    assert sorted(found) == sorted(names.values())
    assert sum(len(group["params"]) for group in groups) == len(names)
    words = isinstance(encoder, Audioformer)  # whose norms are parts of its blocks
    blocks, place = len(encoder.blocks), "backbones.0.encoder.layer" if words else "blocks"  # type: ignore[arg-type]
    for number in range(blocks):
        mine = {group["scale"] for name, group in found.items() if name.startswith(f"encoder.{place}.{number}.")}
        assert mine == {0.5 ** (blocks - number)}
    first = next(name for name in found if name.endswith(("word_embeddings.weight", "embed.weight", "stem.weight")))
    assert found[first]["scale"] == 0.5 ** (blocks + 1)
    assert words or found["encoder.norm.weight"]["scale"] == 1.0
    assert found["head.linear.weight"]["scale"] == 10.0
    assert found["head.linear.weight"]["weight_decay"] == 0.1
    assert found["head.linear.bias"]["weight_decay"] == 0.0


def test_networks_side_by_side_are_counted_each_by_itself() -> None:
    encoder = small_audioformer(layout="separate")
    found = layer_decay.scales(encoder, 0.5)
    assert not [name for name in found if name.startswith("codec.")]
    for tower in (0, 1):
        assert found[f"backbones.{tower}.encoder.layer.2.output.dense.weight"] == 0.5
        assert found[f"backbones.{tower}.embeddings.word_embeddings.weight"] == 0.5**4


def test_pretraining_has_the_groups_that_it_had() -> None:
    objective = Line()
    [decayed, spared] = _groups(objective, Settings(steps=1, batch=1, lr=1.0, weight_decay=0.1))
    assert decayed == {"params": [objective.weight], "weight_decay": 0.1, "scale": 1.0, "decays": True}
    assert spared == {"params": [objective.bias], "weight_decay": 0.0, "scale": 1.0, "decays": False}
