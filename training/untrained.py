"""The same network with random weights: what its architecture is worth before any training.

    python -m evaluation.probe training.untrained --model weights/msm-mae-tiny.safetensors ...

reads a weight file's configuration and draws weights as training does at its start; only what the method itself does
not train, AudioFormer's codec, is kept. A fusion keeps its front ends and gets untrained models. Without a file it is
an MSM-MAE of a named size.
"""

import sys
from typing import Any

import torch

from hear_audioformer import checkpoint, fusion, msm_mae, weights
from hear_audioformer.embedder import Embedder
from hear_audioformer.encoder import Encoder
from hear_audioformer.fusion import Fusion
from hear_audioformer.model import Model, get_scene_embeddings, get_timestamp_embeddings

from . import methods
from .objectives import keep_fixed

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(source: str = "", *, seed: int = 0, size: str = "tiny", **options: Any) -> Model:
    """HEAR: the network of a weight file (a path or a model's name), or an MSM-MAE of ``size``, with fresh weights.

    ``options`` are those of ``Embedder`` and the fields of the method's ``Config``.
    """
    own = {name: value for name, value in options.items() if name not in weights.EMBEDDER_OPTIONS}
    if source:
        header, tensors = checkpoint.read(weights.resolve(source))
        if header.method == fusion.METHOD:
            return _fusion(source, seed, options)
        method, config = header.method, {**header.config, **header.normalisation}
    else:
        method, config, tensors = msm_mae.METHOD, vars(msm_mae.Config.of_size(size)), {}
    module = methods.module_of(method)
    objective = methods.objective_of(method)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = module.build({**config, **own})
        objective.initialise(encoder)
    assert isinstance(encoder, Encoder), f"{method} is a part, which embeds nothing by itself"
    keep_fixed(encoder, tensors)
    return Embedder(encoder, **{name: value for name, value in options.items() if name in weights.EMBEDDER_OPTIONS})


def _fusion(source: str, seed: int, options: dict[str, Any]) -> Fusion:
    """A fusion whose models have fresh weights."""
    model = weights.open_model(source, **options)
    assert isinstance(model, Fusion)
    for number, part in enumerate(model.composition.config.parts):
        if part.model:
            own: dict[str, Any] = {"layers": part.layers, "pool": part.pool, "precision": options.get("precision")}
            hop = model.hop_ms if number == model.leader else None
            given: dict[str, Any] = {name: value for name, value in {**own, "hop_ms": hop}.items() if value is not None}
            model.parts[number] = load_model(part.model, seed=seed, **given)
    return model.eval()


def source_modules(model: Model) -> list[str]:
    """What cached embeddings depend on beside what is imported here: objectives, which draw the initial weights."""
    models = model.models if isinstance(model, Fusion) else [model]
    encoders = [part.encoder for part in models if isinstance(part, Embedder)]
    drawn = [sys.modules[type(encoder).__module__].METHOD for encoder in encoders]
    return [methods.objective_of(method).__name__ for method in drawn]
