"""A model's name -> a verified file -> a model: bundled, cached, or on the Hugging Face Hub.

    load_model("msm-mae-tiny")                          a name in weights/index.json
    load_model("my/model.safetensors")                  a path
    load_model("hf://OWNER/REPO@REVISION/FILE")         a file on the Hub, at a pinned revision

Nothing is used before its bytes are checked: against the index's sha256, against the Hub's own, and against the one
that every file carries in its header.
"""

import functools
import hashlib
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from . import checkpoint
from .checkpoint import Header, WeightsError
from .embedder import Embedder
from .index import METHODS, PARTS, Entry, bundle, index
from .index import list_models as list_models  # part of this module too

EMBEDDER_OPTIONS = ("hop_ms", "pool", "layers", "precision", "batch_size", "hop")
HUB = re.compile(r"hf://(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/@]+))?/(?P<file>.+)")


def load_model(source: str | Path = "", *, method: str | None = None, **options: Any) -> Embedder:
    """A model from a name, a path or an ``hf://`` address; the default model where no source is given.

    ``options`` are those of ``Embedder`` and those that the method offers (its module's ``OPTIONS``).
    """
    own = {name: value for name, value in options.items() if name not in EMBEDDER_OPTIONS}
    encoder, header = load_encoder(source, method=method, **own)
    if header.method not in METHODS:
        raise WeightsError(f"{source} holds a {header.method}, which embeds nothing by itself; load a model")
    return Embedder(encoder, **{name: value for name, value in options.items() if name in EMBEDDER_OPTIONS})


def load_encoder(source: str | Path = "", *, method: str | None = None, **options: Any) -> tuple[Any, Header]:
    """The bare encoder of a model (an ``Encoder``), or a part such as a codec, and its file's header."""
    path = resolve(source, method)
    header, tensors = checkpoint.read(path)
    if method not in (None, header.method):
        raise WeightsError(
            f"{path} holds a model of method {header.method}, not {method}; use hear_audioformer.load_model, "
            f"which takes any method, or hear_audioformer.{(METHODS | PARTS).get(header.method, header.method)}"
        )
    module = method_module(header.method)
    unknown = sorted(options.keys() - set(module.OPTIONS))
    if unknown:
        known = ", ".join((*EMBEDDER_OPTIONS, *module.OPTIONS))
        raise TypeError(f"unknown option {', '.join(unknown)} for a {header.method} model; choose from {known}")
    try:
        encoder = module.build({**header.config, **header.normalisation, **options})
    except TypeError as error:  # a field of a later version
        raise WeightsError(f"{path} has a config that this version does not know ({error}); upgrade it") from error
    checkpoint.fill(encoder, tensors, path)
    return encoder.eval(), header


def method_module(method: str) -> ModuleType:
    """The module of a method."""
    modules = METHODS | PARTS
    if method not in modules:
        raise WeightsError(f"unknown method {method!r}; this version knows {', '.join(METHODS)}: upgrade the package")
    return importlib.import_module(f".{modules[method]}", __package__)


def resolve(source: str | Path, method: str | None = None) -> Path:
    """A verified local file for a name, a path or an ``hf://`` address; of the default model for none."""
    text = str(source)
    if match := HUB.fullmatch(text):
        return _from_hub(match["repo"], match["revision"] or "main", match["file"], None)
    if text.startswith("hf://"):
        raise WeightsError(f"{text} is not of the form hf://OWNER/REPO@REVISION/FILE")
    known = index()
    path = Path(text)
    if not text or (path.is_file() and path.stat().st_size == 0):  # HEAR passes an empty file for "no weights"
        default = known.default_of(method)
        if default is None:
            raise WeightsError(
                f"no trained {method or 'default'} weights come with this version yet: pass a weight file or an "
                "hf:// address; `hear-audioformer convert` makes a weight file of a published checkpoint"
            )
        text = default
    if text in known.models:
        return _from_index(known.models[text])
    if path.is_file():
        return path
    names = ", ".join(known.models) or "none yet"
    raise WeightsError(f"no file and no model is called {text!r}; models known by name: {names}")


def _from_index(entry: Entry) -> Path:
    path = bundle() / entry.file
    if path.is_file():
        return _verified(path, entry.sha256, "install the package again")
    if entry.repo is None or entry.revision is None:
        raise WeightsError(f"{entry.file} is missing from {bundle()} and is not on the Hub: install the package again")
    return _from_hub(entry.repo, entry.revision, entry.file, entry.sha256)


def _from_hub(repo: str, revision: str, file: str, expected: str | None) -> Path:
    """Downloads a file into the Hub's own cache, or finds it there, and verifies it."""
    from huggingface_hub import errors, hf_hub_download

    where = f"hf://{repo}@{revision}/{file}"
    try:
        path = Path(hf_hub_download(repo, file, revision=revision))
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(f"{where}: no such repository, or it is private: check the name, or log in") from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError(f"{where}: the repository has no revision {revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{where} is not in the cache and the Hub was not asked or did not answer: "
            "go online (and unset HF_HUB_OFFLINE) once, or pass a local file"
        ) from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(f"{where}: the repository has no such file") from error
    except errors.HfHubHTTPError as error:
        raise WeightsError(f"{where}: the Hub answered with an error: {error}") from error
    except (errors.HTTPError, OSError) as error:  # HTTPError: that of the HTTP library, above the Hub's own
        raise WeightsError(f"{where}: the download failed, try again: {error}") from error
    except ValueError as error:
        raise WeightsError(f"{where} is no valid address: {error}") from error
    # The cache's first link ends at a file named by its hash. A second one may lead on into a store that repositories
    # share, where names are hashes of another kind.
    blob = path.parent / path.readlink() if path.is_symlink() else path
    try:
        return _verified(path, expected or blob.name, "it is removed from the cache: try again")
    except WeightsError:
        for damaged in (path.resolve(), blob, path):
            damaged.unlink(missing_ok=True)
        raise


def _verified(path: Path, expected: str, remedy: str) -> Path:
    """The file, if it has the expected hash: sha256, or git's for small files of a Hub repository."""
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        found = checkpoint.sha256(path)
    elif re.fullmatch(r"[0-9a-f]{40}", expected):
        content = path.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:
        return path  # a cache without links keeps no hash; the header's own still stands between us and damage
    if found == expected:
        return path
    raise WeightsError(f"{path} is damaged: hash {found}, expected {expected}; {remedy}")


@functools.lru_cache(maxsize=1)
def cached_model(source: str, options: tuple[tuple[str, Any], ...]) -> Embedder:
    """The last model used by the one-call functions, so that calling them in a loop does not load it each time."""
    return load_model(source, **dict(options))
