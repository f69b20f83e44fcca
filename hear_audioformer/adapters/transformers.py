"""transformers: ``AutoModel.from_pretrained(repo, trust_remote_code=True)`` for repositories that ``publish`` made.

Such a repository holds a few lines that import these two classes. The weights are read and verified by this package.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .. import hub, weights
from ..errors import WeightsError
from ..files import write_text
from ..model import Model


class HearAudioformerConfig(PretrainedConfig):
    """``config.json`` of a published repository; what makes the network is in the weight file's header."""

    model_type = "hear_audioformer"


class HearAudioformerModel(PreTrainedModel):
    """A model of this package with transformers' interface.

    ``model(input_values)`` takes waveforms (batch, samples) at ``config.sample_rate`` and gives ``pooler_output``, the
    scene embeddings (batch, scene_embedding_size), and ``last_hidden_state``, the timestamps' embeddings
    (batch, frames, dim). Both are without gradients; ``model.embedder.encoder`` is what can be trained.
    """

    config_class = HearAudioformerConfig
    base_model_prefix = "embedder"
    main_input_name = "input_values"

    def __init__(self, config: HearAudioformerConfig, embedder: Model) -> None:
        super().__init__(config)
        self.embedder = embedder

    @classmethod
    def from_pretrained(cls, name: str | Path, *_: Any, **options: Any) -> "HearAudioformerModel":
        """The model of a repository or a folder; options that are transformers' own, such as dtype, are refused."""
        config = options.pop("config", None)
        found = options.pop("_commit_hash", None)  # by AutoModel, of config.json
        revision = options.pop("revision", None) or found
        for ignored in IGNORED:
            options.pop(ignored, None)
        if unknown := sorted(options.keys() - {*weights.EMBEDDER_OPTIONS, "method"}):
            raise TypeError(f"{', '.join(unknown)}: no options of this model; see hear_audioformer.load_model")
        if Path(name).is_dir():
            embedder = weights.open_model(_only(Path(name)), **options)
        else:
            embedder = weights.from_pretrained(str(name), revision, **options)
        config = HearAudioformerConfig(**(config.to_dict() if config is not None else {}))
        config.sample_rate = embedder.sample_rate
        config.hidden_size = embedder.timestamp_embedding_size
        return cls(config, embedder)

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Writes the weight file, with its header, and what AutoModel needs into a folder."""
        from ..publish import push, remote_code

        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        with push.weight_file(self.embedder, folder.name) as path:
            (folder / path.name).write_bytes(path.read_bytes())
            method = weights.checkpoint.read_header(path).method
        write_text(folder / "config.json", remote_code.config(path.name, method))
        write_text(folder / remote_code.CODE, remote_code.MODULE)

    @torch.no_grad()
    def forward(self, input_values: Tensor, return_dict: bool = True, **_: Any) -> Any:
        """Waveforms (batch, samples) -> ``BaseModelOutputWithPooling``, or a tuple of the same two."""
        frames, _times = self.embedder.timestamps(input_values)
        scenes = self.embedder.scene(input_values)
        if not return_dict:
            return frames, scenes
        return BaseModelOutputWithPooling(last_hidden_state=frames, pooler_output=scenes)


# Passed by AutoModel to every model; they do not change what is loaded here.
IGNORED = ("trust_remote_code", "adapter_kwargs", "code_revision", "torch_dtype_auto", "_from_auto", "key_mapping")


def _only(folder: Path) -> Path:
    files = sorted(folder.glob(f"*{hub.WEIGHTS}"))
    if len(files) != 1:
        raise WeightsError(f"{folder} must hold one {hub.WEIGHTS} file, and holds {len(files)}")
    return files[0]
