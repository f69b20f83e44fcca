"""MAST: a transformer whose pyramid of pooling stages costs a fifth of AST's work.

This package is a HEAR module by itself: ``load_model``, ``get_scene_embeddings``, ``get_timestamp_embeddings``.
"""

from .mast import (
    METHOD,
    OPTIONS,
    SIZES,
    Config,
    Mast,
    build,
    get_scene_embeddings,
    get_timestamp_embeddings,
    load_model,
)

__all__ = [
    "METHOD",
    "OPTIONS",
    "SIZES",
    "Mast",
    "Config",
    "build",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]
