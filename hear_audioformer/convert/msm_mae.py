"""MSM-MAE's published checkpoints: the authors' own, those in the M2D repository, and files fine-tuned by EVAR.

Widths, depth, patch and window size follow from the shapes. Heads are assumed to be 64 wide, as in all published files.
Older files have no normalisation constants: -7.1 and 4.2 are assumed, as by M2D's loader. The fixed position tables of
the file are compared with computed ones, which reveals a wrong window size.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..checkpoint import WeightsError
from ..layers import sincos_1d, sincos_2d
from ..msm_mae import Config, MsmMae
from .names import ROOT, depth_of, fitted, heads_of, take, unwrap, upstream

FOLDER = re.compile(r"(?P<bands>\d+)x(?P<frames>\d+)p(?P<ph>\d+)x(?P<pw>\d+)(p(?P<rate>\d+)k)?(?![\dx])")
DECODER = ("mask_token", "decoder_")
OUTSIDE = ("to_spec.",)  # STFT kernels of the authors' runtime object
TOLERANCE = 1e-3  # of a stored position table; a wrong grid is off by about 1


def convert(
    state: Mapping[str, Tensor],
    *,
    name: str = "",
    heads: int | None = None,
    input_size: tuple[int, int] | None = None,
    sample_rate: int | None = None,
    normalisation: tuple[float, float] | None = None,
) -> tuple[MsmMae, list[str]]:
    """An encoder from an authors' state dict, and notes on what was assumed or left out.

    ``name`` is the folder that held the file, ``<bands>x<frames>p<ph>x<pw>...``; it is only checked against the shapes.
    """
    state, notes = _unwrap(state)
    named = FOLDER.search(name)
    config = _config(state, heads, input_size, sample_rate or (int(named["rate"] or 16) * 1000 if named else 16000))
    if named:
        _agree(config, [int(named[key]) for key in ("bands", "frames", "ph", "pw")], f"the folder's name {name!r}")
    config = _normalised(config, state, normalisation, notes)
    encoder = MsmMae(config)
    _check_tables(state, encoder, notes)
    encoder.load_state_dict(dict(_translate(state, encoder)))
    return encoder.eval(), notes


def _unwrap(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Names without the wrappers' prefix (``backbone.``, EVAR's ``module.ar.runtime.backbone.``, DDP's ``module.``)."""
    inside, notes = unwrap(state, "MSM-MAE")
    inside = {name: tensor for name, tensor in inside.items() if not name.startswith(OUTSIDE)}
    if any(name.startswith(DECODER) for name in inside):
        notes.append("left out the decoder: embeddings do not use it")
    return inside, notes


def _config(state: dict[str, Tensor], heads: int | None, size: tuple[int, int] | None, sample_rate: int) -> Config:
    """The configuration that follows from the shapes."""
    weight, table = state[ROOT], take(state, "pos_embed")
    width, _, ph, pw = weight.shape
    cls = "cls_token" in state
    bands = size[0] if size else 80
    patches = table.shape[1] - cls
    rows = bands // ph
    if bands % ph or not rows or patches % rows:
        raise WeightsError(
            f"pos_embed: {patches} patches do not fill rows of {bands} bands in patches of {ph}; pass the input size"
        )
    config = Config(
        width=width,
        depth=depth_of(state),
        heads=heads_of(width, heads),
        mlp_ratio=take(state, "blocks.0.mlp.fc1.weight").shape[0] / width,
        bands=bands,
        frames=patches // rows * pw,
        patch=(ph, pw),
        cls=cls,
        sample_rate=sample_rate,
    )
    if size:
        _agree(config, [*size, ph, pw], "the given input size")
    return config


def _agree(config: Config, claimed: list[int], source: str) -> None:
    """Refuses sizes that contradict the shapes."""
    sizes = [config.bands, config.frames, *config.patch]
    if sizes != claimed:
        shapes = "input {}x{}, patch {}x{}"
        raise WeightsError(
            f"pos_embed: {source} says {shapes.format(*claimed)}, the shapes say {shapes.format(*sizes)}"
        )


def _normalised(
    config: Config, state: dict[str, Tensor], normalisation: tuple[float, float] | None, notes: list[str]
) -> Config:
    """The configuration with the file's normalisation constants, or those that the user gives."""
    stored = state.pop("norm_stats", None)
    if normalisation is None and stored is not None:
        normalisation = (round(float(stored[0]), 6), round(float(stored[1]), 6))
        notes.append(f"normalisation {normalisation[0]:g}, {normalisation[1]:g} from norm_stats")
    elif normalisation is None:
        notes.append(f"no normalisation in the file: {config.mean:g}, {config.std:g} (AudioSet) assumed")
    return replace(config, mean=normalisation[0], std=normalisation[1]) if normalisation else config


def _check_tables(state: dict[str, Tensor], encoder: MsmMae, notes: list[str]) -> None:
    """Compares the stored position tables with those that the configuration implies."""
    first = int(encoder.config.cls)
    stored = take(state, "pos_embed")[0, first:]
    ours = encoder.positions.flatten(0, 1)
    if stored.shape != ours.shape or (stored - ours).abs().max() > TOLERANCE:
        raise WeightsError(
            f"pos_embed: the stored table is not that of a grid of {encoder.config.grid[0]} rows (frequency) x "
            f"{encoder.config.grid[1]} columns (time); pass the input size that the model was trained on"
        )
    if "decoder_pos_embed" in state:
        stored = state["decoder_pos_embed"][0, first:]
        width = stored.shape[-1]
        flat = sincos_1d(torch.arange(len(stored)), width).float()
        flat = torch.stack([flat[:, : width // 2], flat[:, width // 2 :]], dim=-1).flatten(
            1
        )  # sines and cosines in turn
        tables = {"1-D": flat}
        if width % 4 == 0:  # or there is no 2-D table
            tables["2-D"] = sincos_2d(*encoder.config.grid, width).flatten(0, 1)
        kinds = [k for k, t in tables.items() if t.shape == stored.shape and (stored - t).abs().max() < TOLERANCE]
        if not kinds:
            raise WeightsError("decoder_pos_embed: neither the 1-D nor the 2-D table of this grid")
        notes.append(f"the decoder had the {kinds[0]} position table")


def _translate(state: dict[str, Tensor], encoder: MsmMae) -> Iterator[tuple[str, Tensor]]:
    """Our names with the authors' tensors; a name that is missing, misshapen or left over is an error."""
    used = {"pos_embed"}
    for ours, target in encoder.state_dict().items():
        theirs = upstream(ours)
        tensor = _qkv_bias(state, theirs, used) if theirs.endswith("attn.qkv.bias") else take(state, theirs)
        used.add(theirs)
        yield ours, fitted(tensor, target, theirs)
    surplus = [name for name in state if name not in used and not name.startswith(DECODER)]
    if surplus:
        raise WeightsError(f"{surplus[0]}: not part of an MSM-MAE encoder ({len(surplus)} such names)")


def _qkv_bias(state: dict[str, Tensor], name: str, used: set[str]) -> Tensor:
    """A full bias: M2D's as it is, the authors' as query bias, zeros (exact: a key bias cancels), value bias."""
    if name in state:
        return state[name]
    stem = name.removesuffix("qkv.bias")
    query, value = take(state, f"{stem}q_bias"), take(state, f"{stem}v_bias")
    used.update((f"{stem}q_bias", f"{stem}v_bias"))
    return torch.cat([query, torch.zeros_like(query), value])
