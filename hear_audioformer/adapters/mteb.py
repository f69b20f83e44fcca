"""MTEB: a model for its audio tasks.

    import mteb
    from hear_audioformer.adapters.mteb import HearEncoder

    mteb.evaluate(HearEncoder("msm-mae-tiny"), mteb.get_tasks(modalities=["audio"], exclusive_modality_filter=True))

Clips are resampled by this package (soxr) in a collator of its own: MTEB's ``AudioCollator`` imports torchaudio.
"""

from typing import Any

import numpy as np
import torch
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from torch import Tensor

from .. import audio, checkpoint, weights


class Collator:
    """Rows of a data set -> a batch, whose audio is mono at one rate; takes the place of MTEB's ``AudioCollator``."""

    def __init__(self, target_sampling_rate: int) -> None:
        self.target_sampling_rate = target_sampling_rate

    def __call__(self, inputs: list[dict[str, Any]]) -> dict[str, list[Any]]:
        """Columns of the rows."""
        columns = {name: [row[name] for row in inputs] for name in inputs[0]}
        columns["audio"] = [self.waveform(clip) for clip in columns["audio"]]
        return columns

    def waveform(self, clip: Any) -> Tensor:
        """(samples,) of a clip of any rate, (samples,) or (channels, samples)."""
        samples = torch.as_tensor(np.asarray(clip["array"]), dtype=torch.float32)
        mono = samples.mean(dim=0) if samples.ndim > 1 else samples
        return audio.resample(mono, int(clip["sampling_rate"]), self.target_sampling_rate)


class HearEncoder(AbsEncoder):
    """A model of this package as an MTEB encoder of audio.

    Args:
        model: what ``load_model`` takes.
        revision: MTEB's argument; a hash in ``model`` pins the weights.
        device: where it runs.
        options: those of ``load_model``.
    """

    def __init__(self, model: str = "", revision: str | None = None, device: str = "cpu", **options: Any) -> None:
        path = weights.resolve(model)
        self.model = weights.load_model(path, **options).to(device)
        header = checkpoint.read_header(path)
        self.mteb_model_meta = ModelMeta(
            loader=None,
            name=f"hear_audioformer/{path.stem}",
            revision=revision or header.sha256,
            release_date=None,
            languages=None,
            n_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            memory_usage_mb=None,
            max_tokens=None,
            embed_dim=self.model.scene_embedding_size,
            license=None,
            open_weights=True,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch"],
            similarity_fn_name="cosine",
            use_instructions=False,
            training_datasets=None,
            modalities=["audio"],
        )

    def encode(self, inputs: Any, **_: Any) -> np.ndarray:
        """(clips, scene_embedding_size) of a loader of audio."""
        inputs.collate_fn = Collator(self.model.sample_rate)
        return torch.cat([self.model.scene(batch["audio"]).cpu() for batch in inputs]).numpy()
