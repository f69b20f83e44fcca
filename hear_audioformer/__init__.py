"""Audio embeddings: four methods behind the HEAR API, with weights that work out of the box.

>>> import hear_audioformer
>>> hear_audioformer.embed("recording.wav").shape            # a vector for a file

>>> hear_audioformer.embed_files("recordings/", "vectors/")  # a table of vectors for many
>>> hear_audioformer.Index("vectors/").search("query.wav")   # the recordings that sound like this one

>>> model = hear_audioformer.load_model()                    # HEAR: the default model
>>> hear_audioformer.get_scene_embeddings(audio, model)      # (n_sounds, model.scene_embedding_size)
>>> hear_audioformer.get_timestamp_embeddings(audio, model)  # ..., and the frames' centres in ms
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bulk.run import embed_files
    from .embedder import Embedder, get_scene_embeddings, get_timestamp_embeddings
    from .encoder import Encoder
    from .errors import WeightsError
    from .index import list_models
    from .recording import embed
    from .search import Index
    from .table import open_table
    from .weights import from_pretrained, load_model

__version__ = "0.1.0"
__all__ = [
    "Embedder",
    "Encoder",
    "Index",
    "WeightsError",
    "embed",
    "embed_files",
    "from_pretrained",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "list_models",
    "load_model",
    "open_table",
]

MODULES = {  # where each name is; imported when it is first asked for, because torch takes seconds
    "Embedder": "embedder",
    "Encoder": "encoder",
    "Index": "search",
    "WeightsError": "errors",
    "embed": "recording",
    "embed_files": "bulk.run",
    "from_pretrained": "weights",
    "get_scene_embeddings": "embedder",
    "get_timestamp_embeddings": "embedder",
    "list_models": "index",
    "load_model": "weights",
    "open_table": "table",
}

if not TYPE_CHECKING:  # a type checker would take any name for granted

    def __getattr__(name: str) -> Any:
        if name in MODULES:
            value = getattr(import_module(f".{MODULES[name]}", __name__), name)
        elif name in {"audio", "checkpoint", "embedder", "encoder", "weights"}:
            value = import_module(f".{name}", __name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
