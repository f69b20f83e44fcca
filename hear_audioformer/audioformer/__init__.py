"""AudioFormer: masked language models over the codes of a neural codec.

This package is a HEAR module by itself: ``load_model``, ``get_scene_embeddings``, ``get_timestamp_embeddings``.
"""

from .audioformer import (
    METHOD,
    OPTIONS,
    SIZES,
    Audioformer,
    Config,
    build,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
)

__all__ = [
    "METHOD",
    "OPTIONS",
    "SIZES",
    "Audioformer",
    "Config",
    "build",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]
