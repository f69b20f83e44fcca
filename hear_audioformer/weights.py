"""A model's name -> a verified file -> a model: bundled, cached, or on the Hugging Face Hub.

    load_model("msm-mae-tiny")                          a name in weights/index.json
    load_model("my/model.safetensors")                  a path
    load_model("hf://OWNER/REPO@REVISION/FILE")         a file on the Hub, at a pinned revision
    from_pretrained("OWNER/REPO")                       the only weight file of a repository

The bytes of a file are verified before they are used: against the sha256 of the index, of the Hub, and of the file's
own header.
"""

import functools
import hashlib
import importlib
import re
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from . import checkpoint, hub
from .checkpoint import Header, WeightsError
from .encoder import Encoder, Method, Network
from .index import METHODS, PARTS, Entry, bundle, index
from .index import list_models as list_models  # part of this module too
from .model import Model
from .tables import Shapes

EMBEDDER_OPTIONS = ("hop_ms", "pool", "layers", "precision", "batch_size", "hop")
SHA256 = re.compile(r"[0-9a-f]{64}")
COMPUTED = 1 << 26  # the most values of computed tables, which no file holds; a real model has under a million
HUB = re.compile(r"hf://(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/@]+))?/(?P<file>.+)")


def load_model(source: str | Path = "", *, method: str | None = None, **options: Any) -> Model:
    """HEAR: a model from a name, a path or an ``hf://`` address, in evaluation mode; the default one without a source.

    Args:
        source: a name (``list_models()``), a weight file, or ``hf://OWNER/REPO@REVISION/FILE``.
        method: refuse a model of another method; without a source, the default model of this method.
        options: of the model, all with defaults:

            - ``pool``: how frames become a scene embedding: "mean", "mean+std" (mean and deviation over time, twice as
              wide), or what else the method offers;
            - ``layers``: the layers to concatenate, such as [6, -1];
            - ``hop_ms``: step between timestamps, one of the model's ``hops``; half the hop is at most twice the work;
            - ``hop``: "exact", or "fast" to interpolate between the encoder's own frames;
            - ``precision``: "auto" (bf16 on CUDA, else fp32), "fp32" or "bf16";
            - ``batch_size``: windows in one forward pass, which bounds the memory;

            and those of one method alone, its module's ``OPTIONS``:

            - MSM-MAE: ``normalisation``, ``short``;
            - ASiT: ``positions``, ``window``, ``column``;
            - MAST: ``positions``, ``overlap``, ``rows``;
            - AudioFormer: ``codebooks``, ``combine``, ``average``;
            - fusions: ``dims``, so many components of their parts, or 0 for all; they refuse ``pool`` and ``layers``.

            docs/options.md tells what each does.

    An empty file counts as no source, with a warning: HEAR passes one for "no weights".
    """
    if str(source) and _is_file(Path(source)) and Path(source).stat().st_size == 0:
        warnings.warn(f"{source} is empty, HEAR's sign for no weights: the default model is loaded", stacklevel=2)
        source = ""
    return open_model(source, method=method, **options)


def open_model(source: str | Path = "", *, method: str | None = None, **options: Any) -> Model:
    """A model as of ``load_model``, except that an empty file is refused."""
    own = {name: value for name, value in options.items() if name not in EMBEDDER_OPTIONS}
    path = resolve(source, method)
    network, header = load_network(path, method=method, **own)
    if header.method in PARTS:
        raise WeightsError(f"{source} holds a {header.method}, which embeds nothing by itself; load a model")
    model = network.model(**{name: value for name, value in options.items() if name in EMBEDDER_OPTIONS})
    model.source = path
    return model


def from_pretrained(repo: str, revision: str | None = None, **options: Any) -> Model:
    """The model of a repository OWNER/NAME on the Hugging Face Hub: its only .safetensors file.

    Args:
        revision: a commit, which pins the weights, a branch or a tag; the main branch by default.
        options: those of ``load_model``.
    """
    return open_model(hub.address_of(repo, revision), **options)


def load_encoder(source: str | Path = "", *, method: str | None = None, **options: Any) -> tuple[Encoder, Header]:
    """The bare encoder of a model, and its file's header."""
    network, header = load_network(source, method=method, **options)
    if not isinstance(network, Encoder):
        raise WeightsError(f"{source} holds a {header.method}, which is no encoder; name the model of one encoder")
    return network, header


def load_network(source: str | Path = "", *, method: str | None = None, **options: Any) -> tuple[Network, Header]:
    """The bare encoder of a model, or a part such as a codec, and its file's header."""
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
        choices = ", ".join((*EMBEDDER_OPTIONS, *module.OPTIONS))
        raise TypeError(f"unknown option {', '.join(unknown)} for a {header.method} model; choose from {choices}")
    config = {**header.config, **header.normalisation}
    _try(module, config, tensors, path)
    network = module.build({**config, **options})
    checkpoint.fill(network, tensors, path)
    return network.eval(), header


def _try(module: Method, config: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> None:
    """Builds the model of a config on the meta device and compares it with the file's tensors.

    So a config that describes a huge model is refused before any memory is allocated.
    """
    if unknown := sorted(config.keys() - {field.name for field in fields(module.Config)}):
        names = ", ".join(map(repr, unknown))
        raise WeightsError(f"{path} has a config that this version does not know ({names}); upgrade the package")
    try:
        with Shapes():
            sketch = module.build(config)
    except Exception as error:  # values of an untrusted file may cause any
        raise WeightsError(f"{path} has a config that makes no model ({_line(error)}); convert it again") from error
    checkpoint.compare(sketch, tensors, path)
    stored = sketch.state_dict().keys()
    computed = sum(buffer.numel() for name, buffer in sketch.named_buffers() if name not in stored)
    if computed > COMPUTED:
        raise WeightsError(f"{path} has a config that makes no model (tables of {computed} values); convert it again")


def _line(error: Exception) -> str:
    """The message of an error, in one line."""
    first = str(error).strip().partition("\n")[0]
    return first if isinstance(error, ValueError) else f"{type(error).__name__}: {first}"


def method_module(method: str) -> Method:
    """The module of a method, or of a part."""
    modules = METHODS | PARTS
    if method not in modules:
        raise WeightsError(f"unknown method {method!r}; this version knows {', '.join(METHODS)}: upgrade the package")
    return cast(Method, importlib.import_module(f".{modules[method]}", __package__))


def resolve(source: str | Path, method: str | None = None) -> Path:
    """A verified local file for a name, a path or an ``hf://`` address; of the default model for none."""
    text = str(source)
    if match := HUB.fullmatch(text):
        return _from_hub(match["repo"], match["revision"] or "main", match["file"], None)
    if text.startswith("hf://"):
        raise WeightsError(f"{text} is not of the form hf://OWNER/REPO@REVISION/FILE")
    table = index()
    path = Path(text)
    if not text:
        default = table.default_of(method)
        if default is None:
            raise WeightsError(
                f"no trained {method or 'default'} weights come with this version yet: pass a weight file or an "
                "hf:// address; `hear-audioformer convert` makes a weight file of a published checkpoint"
            )
        text = default
    if text in table.models:
        return _from_index(table.models[text])
    if _is_file(path):
        if path.stat().st_size == 0:
            raise WeightsError(f"{path} is empty: pass a weight file, or no model for the default one")
        return path
    names = ", ".join(table.models) or "none yet"
    raise WeightsError(f"no file and no model is called {text!r}; models known by name: {names}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _from_index(entry: Entry) -> Path:
    """A verified file of the index. The index is untrusted data: it must give a plain file name and a hash."""
    folder = bundle()
    path = folder / entry.file
    plain = entry.file == path.name and "\\" not in entry.file and not entry.file.startswith(".")
    if not plain or not SHA256.fullmatch(str(entry.sha256)):
        raise WeightsError(f"the index's entry {entry.file!r} needs a plain file name and a sha256 of 64 hex digits")
    if path.is_symlink() and not (folder / "index.json").is_symlink():  # installers that link link every file
        raise WeightsError(f"{path} is a link, which the index may not name: put the file itself there")
    if path.is_file():
        return _verified(path, entry.sha256, "install the package again")
    if entry.repo is None or entry.revision is None:
        raise WeightsError(f"{entry.file} is missing from {bundle()} and is not on the Hub: install the package again")
    return _from_hub(entry.repo, entry.revision, entry.file, entry.sha256)


def _from_hub(repo: str, revision: str, file: str, expected: str | None) -> Path:
    """Downloads a file into the Hub's own cache, or finds it there, and verifies it."""
    from huggingface_hub import hf_hub_download

    address = f"hf://{repo}@{revision}/{file}"
    with hub.faults(address):
        path = Path(hf_hub_download(repo, file, revision=revision))
    # The cache's first link ends at a file whose name is its hash. A second link may lead to a store that repositories
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
    if SHA256.fullmatch(expected):
        digest = checkpoint.sha256(path)
    elif re.fullmatch(r"[0-9a-f]{40}", expected):
        content = path.read_bytes()
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:
        return path  # a cache without links keeps no hash; the header's own is still verified
    if digest == expected:
        return path
    raise WeightsError(f"{path} is damaged: hash {digest}, expected {expected}; {remedy}")


@functools.lru_cache(maxsize=1)
def cached_model(source: str, options: tuple[tuple[str, Any], ...]) -> Model:
    """The model that a one-call function last used: calls in a loop load it once."""
    return open_model(source, **dict(options))
