"""AudioFormer's language models as their authors may have saved them: Hugging Face names behind any prefix.

The authors trained one model a codebook, each with a file of its own, and published neither sizes nor ids. Widths and
depths follow from the shapes. Heads are assumed to be 64 wide. The order of the vocabulary is assumed only where it has
the expected 1028 words. A converted file also holds the codec whose codes the models read.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..audioformer import Audioformer, Config
from ..checkpoint import WeightsError
from ..codec.load import ENCODEC, load

ROOT = "embeddings.word_embeddings.weight"  # what stands before this name is the prefix of a model
TRUNK = ("embeddings.", "encoder.layer.")
FIXED = ("embeddings.position_ids", "embeddings.token_type_ids")  # buffers that hold nothing learnt
SPECIALS = (0, 1, 2, 3)  # first, padding, last, mask
SECONDS = 10  # of the published training clips
FILE_PER_CODEBOOK = True


def convert(
    state: Mapping[str, Tensor],
    *,
    name: str = "",
    heads: int | None = None,
    code_offset: int | None = None,
    special_ids: Sequence[int] | None = None,
    codec: str = ENCODEC,
) -> tuple[Audioformer, list[str]]:
    """An encoder from the models of one or several codebooks, first to last, and notes on what was assumed or left out.

    Args:
        state: of one file, or of several with "0.", "1.", ... in front of their names; ``name`` is not needed.
        code_offset: the id of code 0.
        special_ids: those of the first token, padding, the last token, the mask.
        codec: what ``codec.load`` takes: the codec whose codes the models read.
    """
    models, notes = _models(state)
    read, codec_id = load(codec)
    first = models[0]
    if first[ROOT].shape[0] != len(SPECIALS) + read.config.codes and (code_offset is None or special_ids is None):
        raise WeightsError(
            f"{ROOT}: {first[ROOT].shape[0]} words, not {len(SPECIALS)} special ones and {read.config.codes} codes, so "
            "their order cannot be told; pass --code-offset and --special-ids"
        )
    boa, pad, eoa, mask = special_ids or SPECIALS
    width = first[ROOT].shape[1]
    config = Config(
        width=width,
        depth=1 + max((int(key.split(".")[2]) for key in first if key.startswith("encoder.layer.")), default=-1),
        heads=heads or _heads(width),
        hidden=_take(first, "encoder.layer.0.intermediate.dense.weight").shape[0],
        arch="roberta" if "embeddings.position_embeddings.weight" in first else "roformer",
        layout="separate",
        trained=len(models),
        window=_window(first, SECONDS * read.sample_rate // read.hop),
        boa=boa,
        pad=pad,
        eoa=eoa,
        mask=mask,
        code_offset=len(SPECIALS) if code_offset is None else code_offset,
        codec=read.config,
    )
    encoder = Audioformer(config)
    encoder.adopt(read, codec_id)
    for number, (backbone, model) in enumerate(zip(encoder.backbones, models, strict=True)):
        backbone.load_state_dict(_fitted(model, backbone.state_dict(), number, notes))
    if special_ids is None:
        notes.append("special ids 0, 1, 2, 3 (first, padding, last, mask) and code 0 at 4 assumed")
    return encoder.eval(), notes


def _models(state: Mapping[str, Tensor]) -> tuple[list[dict[str, Tensor]], list[str]]:
    """The models of a state, in the order of the numbers in their prefixes, and notes on what was left out."""
    roots = [key for key in state if key == ROOT or key.endswith(f".{ROOT}")]
    if not roots:
        raise WeightsError(
            f"{ROOT}: not found; not a checkpoint of a language model? It has {', '.join(list(state)[:5])}"
        )
    prefixes = sorted((root.removesuffix(ROOT) for root in roots), key=_natural)
    notes = [f"codebook {k + 1} from {prefix!r}" for k, prefix in enumerate(prefixes) if prefix]
    models = []
    used: set[str] = set()
    for prefix in prefixes:
        inside = {key.removeprefix(prefix): key for key in state if key.startswith(prefix)}
        inside = {short: key for short, key in inside.items() if short.startswith(TRUNK) and short not in FIXED}
        used.update(inside.values())
        models.append({short: state[key].float() for short, key in inside.items()})
    rest = [key for key in state if key not in used]
    if rest:
        notes.append(f"left out {len(rest)} tensors that embeddings do not use: {', '.join(rest)}")
    return models, notes


def _fitted(
    model: Mapping[str, Tensor], targets: Mapping[str, Tensor], number: int, notes: list[str]
) -> dict[str, Tensor]:
    """A model's tensors in the target shapes; a name that is missing, left over or misshapen is an error."""
    label = f"codebook {number + 1}"
    missing, surplus = sorted(targets.keys() - model.keys()), sorted(model.keys() - targets.keys())
    if missing or surplus:
        faults = [("missing", missing), ("not part of the model", surplus)]
        raise WeightsError(f"{label}: " + "; ".join(f"{what}: {', '.join(keys)}" for what, keys in faults if keys))
    fitted = {}
    for key, tensor in targets.items():
        stored = model[key]
        if key.startswith("embeddings.") and stored.ndim == 2 and len(stored) > len(tensor):
            notes.append(f"{label}: {key} cut from {len(stored)} to {len(tensor)} rows, the others are never read")
            stored = stored[: len(tensor)]
        if stored.shape != tensor.shape:
            raise WeightsError(f"{label}: {key}: shape {tuple(stored.shape)} where {tuple(tensor.shape)} was expected")
        if not torch.isfinite(stored).all():
            raise WeightsError(f"{label}: {key} holds NaN or infinite values")
        fitted[key] = stored
    return fitted


def _window(model: Mapping[str, Tensor], frames: int) -> int:
    """Frames of a window: as in training, or fewer where the table of learnt positions is shorter."""
    table = model.get("embeddings.position_embeddings.weight")
    return frames if table is None else min(frames, len(table) - 4)  # two rows before the first position, two ends


def _heads(width: int) -> int:
    if width % 64:
        raise WeightsError(
            f"{ROOT}: a width of {width} is not a multiple of 64, so the heads cannot be told; pass heads"
        )
    return width // 64


def _take(model: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in model:
        raise WeightsError(f"{key}: missing from the checkpoint, which is truncated or of another method")
    return model[key]


def _natural(prefix: str) -> list[tuple[int, str]]:
    """Sorts "nq2" before "nq10"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", prefix)]
