"""What the index tells of a model, so that ``list`` needs no torch: sizes, rate and hops, as the model has them."""

from pathlib import Path
from typing import Any

from torch import nn

from . import weights
from .index import PARTS


def facts(source: str | Path) -> dict[str, Any]:
    """Parameters and sample rate of a weight file; of a model also the widths of its vectors and its hops in ms."""
    network, header = weights.load_network(source)
    if header.method in PARTS:
        return {"parameters": parameters(network, header.method), "sample_rate": network.sample_rate}
    model = network.model()
    return {
        "parameters": parameters(model, header.method),
        "sample_rate": model.sample_rate,
        "pool": model.pool,
        "scene": model.scene_embedding_size,
        "frame": model.timestamp_embedding_size,
        "hop_ms": model.hop_ms,
        "hops": list(model.hops),
    }


def parameters(network: nn.Module, method: str) -> int:
    """Number of weights; of a codec that is all its file holds, because its tables are buffers that were fitted."""
    held = network.state_dict().values() if method in PARTS else network.parameters()
    return sum(tensor.numel() for tensor in held)
