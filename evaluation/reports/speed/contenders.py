"""Who runs beside whom: a method in its precisions, and its references."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from hear_audioformer import mast, msm_mae
from hear_audioformer.embedder import Embedder, Encoder, Precision
from hear_audioformer.index import METHODS as MODULES

from ...baselines import ast
from . import peers, references

FRAMES = {"msm-mae": 512, "mast": 1024}  # of a window; the other methods have their own
METHODS = ("msm-mae", "asit", "mast", "audioformer")
PEERS = ("timm", "transformers", "hear21passt", "dasheng")
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
Run = Callable[[Tensor], Tensor]  # (batch, samples) -> (batch, ...)


@dataclass(frozen=True)
class Contender:
    """A model to time.

    Attributes:
        run: from waveforms to vectors.
        against: the name of what it is compared with.
        precision: of its products.
        longest: seconds of a clip that it takes whole.
    """

    run: Run
    against: str
    precision: Precision = "fp32"
    longest: float = math.inf


Contenders = dict[str, Contender]


def of_method(
    method: str, size: str, device: torch.device, precisions: Sequence[Precision] = ("fp32",), frames: int | None = None
) -> Contenders:
    """A method and its references; the first of a precision is what the others of it are compared with."""
    frames = frames or FRAMES.get(method)
    made: Contenders = {}
    for precision in precisions:
        runs = dict(_runs(method, size, frames, device, precision))
        first = next(iter(runs))
        made |= {f"{name} {precision}": Contender(run, f"{first} {precision}", precision) for name, run in runs.items()}
    return made


def _runs(
    method: str, size: str, frames: int | None, device: torch.device, precision: Precision
) -> Iterator[tuple[str, Run]]:
    """The reference, if there is one, and then the method."""
    torch.manual_seed(0)
    changes = {"frames": frames} if frames else {}
    if method == "mast":
        yield f"ast-{size}", _scene(ast.Ast(ast.Config.of_size(size, **changes)), device, precision)
    encoder = encoder_of(method, size, **changes).to(device)
    if isinstance(encoder, msm_mae.MsmMae) and precision == "fp32":
        yield "authors' path", references.AuthorsPath(encoder.eval()).scene
    yield f"{method}-{size}", _scene(encoder, device, precision)
    if method == "mast":
        norel = mast.Mast(mast.Config.of_size(size, relative=False, **changes))
        yield f"{method}-{size} without relative positions", _scene(norel, device, precision)


def encoder_of(method: str, size: str, **changes: Any) -> Encoder:
    """A method's encoder of a size, with random weights."""
    module = import_module(f"hear_audioformer.{MODULES[method]}")
    encoder: Encoder = module.build(vars(module.Config.of_size(size, **changes)))
    return encoder


def _scene(encoder: Encoder, device: torch.device, precision: Precision) -> Run:
    return Embedder(encoder.to(device), precision=precision).scene


def compiled(encoder: Encoder) -> Run:
    """The encoder behind ``torch.compile``: whatever the package does around it stays as it is."""
    embedder = Embedder(encoder, precision="fp32")
    encoder.__dict__["pooled_layers"] = torch.compile(encoder.pooled_layers)
    return embedder.scene


def of_compiled(method: str, size: str, device: torch.device, frames: int | None = None) -> Contenders:
    """A method's compiled encoder."""
    frames = frames or FRAMES.get(method)
    encoder = encoder_of(method, size, **({"frames": frames} if frames else {})).to(device)
    return {f"{method}-{size} compiled": Contender(compiled(encoder), f"{method}-{size} fp32")}


def of_peers(
    method: str,
    size: str,
    device: torch.device,
    precisions: Sequence[Precision] = ("fp32",),
    frames: int | None = None,
    packages: Sequence[str] = PEERS,
) -> tuple[Contenders, list[str]]:
    """Other packages' models beside a method's, and a line for each that is missing."""
    made: Contenders = {}
    missing = []
    for precision in precisions:
        ours, dtype = f"{method}-{size} {precision}", DTYPES[precision]
        makers: dict[str, tuple[str, Callable[[], Run]]] = {}  # package -> name of the model, how it is made
        if method == "msm-mae":
            vit = partial(peers.timm_vit, size, frames or FRAMES[method], device, dtype)
            makers["timm"] = f"timm's ViT-{size}", vit
        if size == "base":
            makers["transformers"] = "transformers' AST", partial(peers.transformers_ast, device, dtype)
            if precision == "fp32":
                makers["hear21passt"] = "hear21passt", partial(peers.hear21passt, device)
                makers["dasheng"] = "dasheng-base", partial(peers.dasheng, device)
        for package, (name, make) in makers.items():
            if package not in packages:
                continue
            try:
                longest = peers.LONGEST.get(package, math.inf)
                made[f"{name} {precision}"] = Contender(make(), ours, precision, longest)
            except (ImportError, OSError) as error:
                missing.append(f"{name}: not measured, {str(error).splitlines()[0]}")
    return made, missing


def of_timestamps(size: str, device: torch.device, frames: int | None = None) -> Contenders:
    """Timestamps at 40 ms: ours, and hear21passt's scheme on the same encoder."""
    encoder: nn.Module = encoder_of("msm-mae", size, frames=frames or FRAMES["msm-mae"]).to(device)
    assert isinstance(encoder, Encoder)
    slow = "a window per timestamp fp32"
    exact = Embedder(encoder, hop_ms=40, precision="fp32")
    fast = Embedder(encoder, hop_ms=40, hop="fast", precision="fp32")
    return {
        slow: Contender(partial(references.window_per_timestamp, exact), slow),
        "timestamps fp32": Contender(lambda audio: exact.timestamps(audio)[0], slow),
        'timestamps fp32, hop="fast"': Contender(lambda audio: fast.timestamps(audio)[0], slow),
    }
