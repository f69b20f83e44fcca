"""torch.hub: ``torch.hub.load("OWNER/hear_audioformer", "load_model", "msm-mae-tiny")``, or source="local"."""

from typing import Any

import hear_audioformer
from hear_audioformer.model import Model

dependencies = ["torch", "numpy", "einops", "safetensors", "huggingface_hub", "soundfile", "soxr"]


def load_model(source: str = "", **options: Any) -> Model:
    """A model from a name, a path or an ``hf://`` address; ``hear_audioformer.load_model``."""
    return hear_audioformer.load_model(source, **options)


def from_pretrained(repo: str, revision: str | None = None, **options: Any) -> Model:
    """The model of a repository of the Hugging Face Hub; ``hear_audioformer.from_pretrained``."""
    return hear_audioformer.from_pretrained(repo, revision, **options)
