"""ASiT's checkpoints: those of the training script (student and teacher), wrapped ones, and fine-tuned ones.

Widths, depth and window follow from the shapes, given 128 bands. The sampling rate does not, and both 16 and 32 kHz are
in use, so the user must give it. Nor does the order of the tokens, which is (time, mel) or (mel, time). The learnt
positions tell: neighbours on the grid of training are similar.
"""

from collections.abc import Iterator, Mapping

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..asit import Asit, Config
from ..checkpoint import WeightsError
from .names import ROOT, depth_of, fitted, heads_of, take, unwrap, upstream

NETWORKS = ("teacher", "student")  # in one file; the first that is there is taken
HEADS = ("head", "strong_head", "weak_head", "fc")  # beginnings of names that embeddings do not use
DECIDED = 0.1  # the least difference of smoothness between the two orders that decides
CHANCE = 5.0  # the least multiple of the difference that tables of random numbers have


def convert(
    state: Mapping[str, Tensor],
    *,
    name: str = "",
    network: str | None = None,
    heads: int | None = None,
    input_size: tuple[int, int] | None = None,
    sample_rate: int | None = None,
    normalisation: tuple[float, float] | None = None,
) -> tuple[Asit, list[str]]:
    """An encoder from a state dict of the authors' layout, and notes on what was assumed or left out.

    ``name``, the folder of the file, is not used.
    """
    state, chosen = _choose(state, network)
    state, notes = unwrap(state, "ASiT")
    notes = chosen + notes
    config = _config(state, heads, input_size, sample_rate, normalisation)
    if normalisation is None:
        notes.append(f"no normalisation in the file: {config.mean:g}, {config.std:g} (AudioSet) assumed")
    if state[ROOT].shape[1] > 1:
        notes.append(f"summed the {state[ROOT].shape[1]} channels of the patch filters")
        state[ROOT] = state[ROOT].sum(1, keepdim=True)
    _order(state, config, notes)
    encoder = Asit(config)
    encoder.load_state_dict(dict(_translate(state, encoder, notes)))
    return encoder.eval(), notes


def _choose(state: Mapping[str, Tensor], network: str | None) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of one network of the file: by default the teacher's, which is the better model."""
    networks = [part for part in NETWORKS if any(name.startswith(f"{part}.") for name in state)]
    if network is not None and network not in networks:
        raise WeightsError(f"{network}: not in the checkpoint, which names {' and '.join(networks) or 'no networks'}")
    if not networks:
        return dict(state), []
    chosen = network or networks[0]
    prefix = f"{chosen}."
    both = len(networks) > 1
    others = f", not the {networks[1 - networks.index(chosen)]}'s" if both else ", the only ones in the file"
    inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return inside, [f"the {chosen}'s weights{others}"]


def _config(
    state: dict[str, Tensor],
    heads: int | None,
    size: tuple[int, int] | None,
    sample_rate: int | None,
    normalisation: tuple[float, float] | None,
) -> Config:
    """The configuration that follows from the shapes."""
    if sample_rate is None:
        raise WeightsError("nothing in an ASiT checkpoint tells its sampling rate: pass sample_rate, 16000 or 32000")
    width, _, patch, other = state[ROOT].shape
    bands = size[0] if size else 128
    rows, patches = bands // patch, take(state, "pos_embed").shape[1] - 1
    if patch != other or bands % patch or not rows or patches % rows:
        raise WeightsError(
            f"pos_embed: {patches} patches do not fill columns of {bands} bands in patches of {patch}; "
            "pass the input size"
        )
    config = Config(
        width=width,
        depth=depth_of(state),
        heads=heads_of(width, heads),
        mlp_ratio=take(state, "blocks.0.mlp.fc1.weight").shape[0] / width,
        bands=bands,
        frames=patches // rows * patch,
        patch=patch,
        sample_rate=sample_rate,
    )
    if size and size[1] != config.frames:
        raise WeightsError(f"pos_embed: the given input has {size[1]} frames, the shapes say {config.frames}")
    if normalisation is None:
        return config
    return Config(**{**vars(config), "mean": normalisation[0], "std": normalisation[1]})


def _order(state: dict[str, Tensor], config: Config, notes: list[str]) -> None:
    """Finds the order of the tokens, and transposes tables and filters of (mel, time) order."""
    columns = config.grid[0]
    table = state["pos_embed"][0, 1:]
    time_major = _smoothness(rearrange(table, "(t m) d -> t m d", t=columns))
    mel_major = _smoothness(rearrange(table, "(m t) d -> m t d", t=columns))
    agreement = f"neighbouring positions agree to {time_major:.2f} in (time, mel) order, {mel_major:.2f} in (mel, time)"
    pairs = 2 * len(table) - sum(config.grid)
    decided = max(DECIDED, CHANCE * (2 / max(1, pairs * config.width)) ** 0.5)
    if mel_major > time_major + decided:
        turned = rearrange(table, "(m t) d -> 1 (t m) d", t=columns)
        state["pos_embed"] = torch.cat([state["pos_embed"][:, :1], turned], dim=1)
        state[ROOT] = state[ROOT].mT
        notes.append(f"{agreement}: positions and patch filters turned around")
    elif time_major > mel_major + decided:
        notes.append(f"{agreement}: (time, mel) it is")
    else:
        notes.append(f"{agreement}: undecided, (time, mel) assumed")


def _smoothness(grid: Tensor) -> float:
    """Mean cosine between neighbours on a grid of positions, (rows, columns, width), whose mean is removed."""
    unit = F.normalize(grid - grid.mean((0, 1)), dim=-1)
    pairs = [(unit[1:] * unit[:-1]).sum(-1).flatten(), (unit[:, 1:] * unit[:, :-1]).sum(-1).flatten()]
    return float(sum(part.sum() for part in pairs) / max(1, sum(len(part) for part in pairs)))


def _translate(state: dict[str, Tensor], encoder: Asit, notes: list[str]) -> Iterator[tuple[str, Tensor]]:
    """Our names with the authors' tensors; a name that is missing, misshapen or left over is an error."""
    used = set()
    for ours, target in encoder.state_dict().items():
        theirs = upstream(ours)
        used.add(theirs)
        yield ours, fitted(take(state, theirs), target, theirs)
    surplus = [name for name in state if name not in used]
    unknown = [name for name in surplus if not name.startswith(HEADS)]
    if unknown:
        raise WeightsError(f"{unknown[0]}: not part of an ASiT encoder ({len(unknown)} such names)")
    if surplus:
        notes.append(f"left out {len(surplus)} tensors of heads ({surplus[0]}, ...)")
