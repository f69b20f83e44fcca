"""RoFormer and RoBERTa with their masked heads."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.make_goldens.common import Draws, Weights, attention, gelu, heads_of, linear, norm, save

SHAPES = {  # width, depth, heads, hidden, codes, longest, types, lengths of the sequences
    "other": {"roformer": (24, 3, 2, 40, 11, 90, 3, (17, 9, 17, 3)), "roberta": (21, 3, 3, 30, 50, 23, 2, (19, 4))},
    "least": {"roformer": (4, 1, 1, 3, 2, 9, 1, (7,)), "roberta": (3, 1, 1, 5, 2, 6, 1, (4,))},
}
SPECIAL = {"boa": 0, "pad": 1, "eoa": 2, "mask": 3, "code_offset": 4}


def weights(d: Draws, arch: str, shape: tuple) -> Weights:
    width, depth, _, hidden, codes, longest, types, _ = shape
    e, words = f"{arch}.embeddings", 4 + codes
    p = {
        f"{e}.word_embeddings.weight": d.normal(words, width),
        f"{e}.token_type_embeddings.weight": d.normal(types, width),
    }
    p |= d.norm(f"{e}.LayerNorm", width)
    if arch == "roberta":
        p[f"{e}.position_embeddings.weight"] = d.normal(longest + 2, width)
    else:
        p[f"{arch}.encoder.embed_positions.weight"] = sinusoids(longest, width // shape[2])
    for i in range(depth):
        n = f"{arch}.encoder.layer.{i}"
        for part in ("query", "key", "value"):
            p |= d.linear(f"{n}.attention.self.{part}", width, width)
        p |= {
            **d.linear(f"{n}.attention.output.dense", width, width),
            **d.norm(f"{n}.attention.output.LayerNorm", width),
        }
        p |= {**d.linear(f"{n}.intermediate.dense", hidden, width), **d.linear(f"{n}.output.dense", width, hidden)}
        p |= d.norm(f"{n}.output.LayerNorm", width)
    head, bias = ("lm_head", "lm_head") if arch == "roberta" else ("cls.predictions.transform", "cls.predictions")
    p |= {f"{bias}.bias": d.normal(words, std=0.1), **d.linear(f"{head}.dense", width, width)}
    p |= d.norm(f"{head}.{'layer_norm' if arch == 'roberta' else 'LayerNorm'}", width)
    p |= {f"{bias}.decoder.weight": p[f"{e}.word_embeddings.weight"], f"{bias}.decoder.bias": p[f"{bias}.bias"]}
    return p


def sinusoids(count: int, width: int) -> Tensor:
    """Sines of all angles, then cosines."""
    angles = [[place * 10000 ** (-2 * j / width) for j in range(width // 2)] for place in range(count)]
    table = torch.tensor(angles, dtype=torch.float64)
    return torch.cat([table.sin(), table.cos()], dim=1).float().double()


def turned(x: Tensor) -> Tensor:
    """Rotary positions of heads (batch, heads, tokens, width), pair by pair."""
    out = x.clone()
    for j in range(x.shape[-1] // 2):
        angle = torch.arange(x.shape[2], dtype=torch.float64) * 10000 ** (-2 * j / x.shape[-1])
        a, b = x[..., 2 * j], x[..., 2 * j + 1]
        out[..., 2 * j] = a * angle.cos() - b * angle.sin()
        out[..., 2 * j + 1] = b * angle.cos() + a * angle.sin()
    return out


def states(ids: Tensor, mask: Tensor, p: Weights, arch: str, heads: int, depth: int) -> list[Tensor]:
    e, epsilon = f"{arch}.embeddings", 1e-5 if arch == "roberta" else 1e-12
    x = p[f"{e}.word_embeddings.weight"][ids] + p[f"{e}.token_type_embeddings.weight"][0]
    if arch == "roberta":
        x = x + p[f"{e}.position_embeddings.weight"][mask.cumsum(1) * mask + 1]
    found = [norm(x, p, f"{e}.LayerNorm", epsilon)]
    hidden = torch.where(mask[:, None, None] > 0, 0.0, -torch.inf).double()
    for i in range(depth):
        n, x = f"{arch}.encoder.layer.{i}", found[-1]
        q, k, v = (heads_of(linear(x, p, f"{n}.attention.self.{part}"), heads) for part in ("query", "key", "value"))
        if arch == "roformer":
            q, k = turned(q), turned(k)
        seen = linear(attention(q, k, v, hidden), p, f"{n}.attention.output.dense")
        x = norm(x + seen, p, f"{n}.attention.output.LayerNorm", epsilon)
        inner = gelu(linear(x, p, f"{n}.intermediate.dense"))
        found.append(norm(x + linear(inner, p, f"{n}.output.dense"), p, f"{n}.output.LayerNorm", epsilon))
    return found


def logits_of(x: Tensor, p: Weights, arch: str) -> Tensor:
    if arch == "roberta":
        y = norm(gelu(linear(x, p, "lm_head.dense")), p, "lm_head.layer_norm", 1e-5)
        return y @ p["lm_head.decoder.weight"].T + p["lm_head.bias"]
    y = norm(gelu(linear(x, p, "cls.predictions.transform.dense")), p, "cls.predictions.transform.LayerNorm", 1e-12)
    return y @ p["cls.predictions.decoder.weight"].T + p["cls.predictions.bias"]


def sequences(d: Draws, lengths: tuple[int, ...], codes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask, and labels of the hidden places, -100 elsewhere."""
    longest = max(lengths)
    ids = torch.full((len(lengths), longest), SPECIAL["pad"])
    labels = torch.full_like(ids, -100)
    for row, length in enumerate(lengths):
        for place in range(1, length - 1):
            ids[row, place] = 4 + d.integer(0, codes)
            if place % 4 == 1:
                labels[row, place], ids[row, place] = ids[row, place], SPECIAL["mask"]
        ids[row, 0], ids[row, length - 1] = SPECIAL["boa"], SPECIAL["eoa"]
    return ids, (ids != SPECIAL["pad"]).long(), labels


def made(d: Draws, arch: str, shape: tuple) -> dict[str, Tensor]:
    _, depth, heads, _, codes, _, _, lengths = shape
    p = weights(d, arch, shape)
    ids, mask, labels = sequences(d, lengths, codes)
    found = states(ids, mask, p, arch, heads, depth)
    logits = logits_of(found[-1], p, arch)
    inner = mask * (ids != SPECIAL["boa"]) * (ids != SPECIAL["eoa"])
    pools = {
        f"mean_pool_{name}": (found[-1] * m[..., None]).sum(1) / m.sum(1, keepdim=True)
        for name, m in (("all", mask), ("frames_only", inner))
    }
    return {
        **{f"param/{name}": value for name, value in p.items()},
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "logits": logits,
        "loss": F.cross_entropy(logits.flatten(0, 1), labels.flatten()),
        "hidden_states": torch.stack(found),
        "last_hidden_state": found[-1],
        "no_mask_last_hidden_state": states(ids[:1], torch.ones_like(ids[:1]), p, arch, heads, depth)[-1],
        **pools,
    }


def write(folder: Path, kind: str) -> None:
    d = Draws(13)
    for arch, shape in SHAPES[kind].items():
        width, depth, heads, hidden, codes, longest, types, _ = shape
        config = {
            "kind": arch, "vocab_size": 4 + codes, "hidden_size": width, "num_hidden_layers": depth,
            "num_attention_heads": heads, "intermediate_size": hidden, "type_vocab_size": types,
            "max_position_embeddings": longest + 2 * (arch == "roberta"), "pad_token_id": 1, "special": SPECIAL,
            "layer_norm_eps": 1e-5 if arch == "roberta" else 1e-12,
        }  # fmt: skip
        save(folder, f"{arch}_tiny", config, made(d, arch, shape))
