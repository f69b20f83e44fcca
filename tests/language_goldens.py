"""The golden files of both language models, read in one way."""

from typing import Any

import torch
from torch import Tensor

from hear_audioformer.audioformer.language import Backbone, Sizes
from tests.golden_file import GoldenFile
from training.objectives.masked_lm import MaskedHead

HEADS = {"roformer": ("cls.predictions.", "transform."), "roberta": ("lm_head.", "")}  # prefix, and one more within
TOLERANCE = 1e-5


class Golden(GoldenFile):
    """One file: its sizes, its inputs, and our model with its weights."""

    def __init__(self, arch: str) -> None:
        super().__init__(f"{arch}_tiny")
        self.arch: Any = arch
        self.state = self.under("param/")
        self.ids, self.mask = self["input_ids"], self["attention_mask"]

    def backbone(self) -> Backbone:
        """The encoder; every stored weight but fixed tables and the head must have its place."""
        config = self.config
        sizes = Sizes(
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["intermediate_size"],
            config["vocab_size"],
            config["type_vocab_size"],
            positions=config["max_position_embeddings"] - (2 if self.arch == "roberta" else 0),
            arch=self.arch,
        )
        made = Backbone(sizes).eval()
        prefix = f"{self.arch}."
        mine = {n.removeprefix(prefix): t for n, t in self.state.items() if n.startswith(prefix)}
        made.load_state_dict({n: t for n, t in mine.items() if n != "encoder.embed_positions.weight"})
        return made

    def head(self) -> MaskedHead:
        """The head, whose own copy of the word table must be the table."""
        prefix, within = HEADS[self.arch]
        made = MaskedHead(self.config["hidden_size"], self.config["vocab_size"], self.config["layer_norm_eps"])
        theirs = {
            "transform.dense.weight": f"{within}dense.weight",
            "transform.dense.bias": f"{within}dense.bias",
            "transform.LayerNorm.weight": f"{within}LayerNorm.weight" if within else "layer_norm.weight",
            "transform.LayerNorm.bias": f"{within}LayerNorm.bias" if within else "layer_norm.bias",
            "bias": "bias",
        }
        made.load_state_dict({ours: self.state[prefix + name] for ours, name in theirs.items()})
        return made

    def states(self, model: Backbone) -> list[Tensor]:
        """All hidden states of the file's sequences."""
        with torch.no_grad():
            return model(model.words(self.ids), 0, self.mask)

    def near(self, found: Tensor, name: str, where: Tensor | None = None) -> None:
        """Holds a result against the file's, where there is no padding."""
        self.close(found, name, TOLERANCE, where)
