"""Fusion: several models side by side, and hand-made statistics of sound, as one model.

This package is a HEAR module by itself: ``load_model``, ``get_scene_embeddings``, ``get_timestamp_embeddings``. Its
weight files name their parts by sha256, and hold how the parts' values are standardised and projected.
"""

from typing import Any

from .. import weights
from ..model import Model, get_scene_embeddings, get_timestamp_embeddings
from .composition import Composition, Config, Part, build
from .fusion import Fusion

__all__ = [
    "METHOD",
    "OPTIONS",
    "SIZES",
    "Composition",
    "Config",
    "Fusion",
    "Part",
    "build",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

METHOD = "fusion"
OPTIONS = ("dims",)  # fields of Config that a user may change
SIZES: tuple[str, ...] = ()


def load_model(source: str = "", **options: Any) -> Model:
    """HEAR: a fusion by name, path or ``hf://OWNER/REPO@REVISION/FILE``; the default fusion without a source.

    Args:
        dims: values of an embedding, the leading principal components of each part; 0 for all that the parts give.
        hop_ms: step between timestamps, as the first model among the parts has it; the others follow its grid.
        precision: "fp32", "bf16" or "auto", bf16 on CUDA alone; hand-made statistics are float32 in any case.
        batch_size: windows of one forward; bounds the memory.
        hop: "exact" or "fast", for the parts that are models.

    The options pool and layers are those of the parts, which the weight file has chosen; here they are refused.
    """
    return weights.load_model(source, method=METHOD, **options)
