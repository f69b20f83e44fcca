"""sentence-transformers, from 6: a module that turns recordings into sentence embeddings.

    model = SentenceTransformer(modules=[HearModule("msm-mae-tiny")])
    model.encode(["a.wav", {"array": waveform, "sampling_rate": 44100}])
    model.save("folder"); SentenceTransformer("folder", trust_remote_code=True)

The module is frozen. Others may be added after it, such as ``Dense``, and trained.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from .. import audio, weights

FILE = "model.safetensors"


class HearModule(InputModule):
    """Recordings -> ``sentence_embedding``, (batch, scene_embedding_size), float32, without gradients.

    Args:
        model: what ``load_model`` takes.
        options: those of ``load_model``.
    """

    config_keys: ClassVar[list[str]] = ["options"]
    save_in_root = False

    def __init__(self, model: str | Path = "", **options: Any) -> None:
        super().__init__()
        self.options = options
        self.model = weights.load_model(model, **options)
        self.model.requires_grad_(False)

    @property
    def modalities(self) -> list[str]:
        """Audio alone."""
        return ["audio"]

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_: Any) -> dict[str, Any]:
        """Files, {"array", "sampling_rate"}, or waveforms at the model's rate -> padded waveforms and their lengths."""
        clips = [self._waveform(one) for one in inputs]
        lengths = torch.tensor([len(clip) for clip in clips])
        return {"audio": torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), "audio_lengths": lengths}

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Adds ``sentence_embedding``; padding plays no part in it."""
        clips = [
            row[:length] for row, length in zip(features["audio"], features["audio_lengths"].tolist(), strict=True)
        ]
        return {**features, "sentence_embedding": self.model.scene(clips)}

    def get_embedding_dimension(self) -> int:
        """Width of an embedding."""
        return self.model.scene_embedding_size

    def save(self, output_path: str, *_: Any, safe_serialization: bool = True, **__: Any) -> None:
        """Writes the weight file, with its header, and the options."""
        from ..publish.push import weight_file

        with weight_file(self.model, "model") as path:
            (Path(output_path) / FILE).write_bytes(path.read_bytes())
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **options: Any) -> "HearModule":
        """The module of a folder, or of a repository of the Hub."""
        where = {name: options.get(name) for name in ("token", "cache_folder", "revision")}
        where["local_files_only"] = bool(options.get("local_files_only"))
        path = cls.load_file_path(model_name_or_path, FILE, subfolder=subfolder, **where)
        if path is None:
            raise weights.WeightsError(f"{model_name_or_path} holds no {FILE}")
        config = cls.load_config(model_name_or_path, subfolder=subfolder, **where)
        return cls(path, **config.get("options", {}))

    def _waveform(self, one: Any) -> Tensor:
        if isinstance(one, (str, os.PathLike)):
            return audio.read(Path(one), self.model.sample_rate)
        rate = self.model.sample_rate
        if isinstance(one, dict):
            one, rate = one["array"], int(one["sampling_rate"])
        samples = torch.as_tensor(np.asarray(one), dtype=torch.float32)
        return audio.resample(samples.mean(dim=0) if samples.ndim > 1 else samples, rate, self.model.sample_rate)
