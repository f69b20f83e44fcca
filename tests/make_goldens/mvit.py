"""MViTv2's block with pooled attention, by torchvision's names."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.make_goldens.common import Draws, Weights, attention, gelu, heads_of, linear, norm, save

Pair = tuple[int, int]


@dataclass(frozen=True)
class Case:
    grid_freq_time: Pair
    dim_in: int
    dim_out: int
    heads: int
    kernel_q: Pair
    stride_q: Pair
    kernel_kv: Pair
    stride_kv: Pair
    batch: int = 2
    rel_pos: bool = True
    cls_token: bool = True
    inside: bool = True  # whether the file shows more than input and output
    layernorm_eps: float = 1e-6

    @property
    def queries(self) -> Pair:
        return pooled(self.grid_freq_time, self.stride_q)

    @property
    def keys(self) -> Pair:
        return pooled(self.grid_freq_time, self.stride_kv)


CASES = {
    "other": {
        "two_to_three": Case((12, 11), 12, 18, 3, (3, 3), (2, 2), (3, 3), (3, 3), batch=1),
        "three_to_two": Case((7, 8), 10, 10, 1, (3, 3), (3, 3), (5, 3), (2, 2), batch=3),
        "mixed axes": Case((6, 12), 8, 16, 2, (1, 3), (1, 2), (3, 3), (4, 3)),
        "exact_tables": Case((9, 5), 8, 8, 4, (3, 3), (1, 2), (3, 5), (3, 3), cls_token=False, inside=False),
        "four": Case((9, 10), 6, 12, 2, (3, 3), (4, 4), (3, 3), (2, 1), rel_pos=False),
    },
    "least": {"one": Case((1, 1), 2, 2, 1, (3, 3), (1, 1), (3, 3), (1, 1), batch=1, cls_token=False, inside=False)},
}  # fmt: skip


def pooled(grid: Pair, stride: Pair) -> Pair:
    return -(-grid[0] // stride[0]), -(-grid[1] // stride[1])


def weights(d: Draws, c: Case) -> Weights:
    width = c.dim_out // c.heads
    p = {**d.norm("norm1", c.dim_in), **d.norm("norm2", c.dim_out), **d.linear("attn.qkv", 3 * c.dim_out, c.dim_in)}
    p |= {**d.linear("attn.project.0", c.dim_out, c.dim_out)}
    for name in "qkv":
        kernel = c.kernel_q if name == "q" else c.kernel_kv
        p[f"attn.pool_{name}.pool.weight"] = d.normal(width, 1, 1, *kernel, std=0.4)
        p |= d.norm(f"attn.pool_{name}.norm_act.0", width)
    p |= {**d.linear("mlp.0", 4 * c.dim_out, c.dim_out), **d.linear("mlp.3", c.dim_out, 4 * c.dim_out)}
    if c.dim_in != c.dim_out:
        p |= d.linear("project", c.dim_out, c.dim_in)
    if c.rel_pos:
        most = [max(q, k) for q, k in zip(c.queries, c.keys, strict=True)]
        side = max(c.grid_freq_time)
        longest = max(side // c.stride_q[0], side // c.stride_kv[0])
        for name, cells in zip("hw", most, strict=True):
            p[f"attn.rel_pos_{name}"] = d.normal(2 * (longest if c.inside else cells) - 1, width, std=0.5)
        if c.inside:
            p["attn.rel_pos_t"] = torch.zeros(1, width, dtype=torch.float64)
    return p


def pool(x: Tensor, p: Weights, name: str, c: Case) -> Tensor:
    """(batch, heads, front + cells, width) -> pooled cells, each head by itself, then a norm."""
    stride = c.stride_q if name == "q" else c.stride_kv
    kernel = p[f"attn.pool_{name}.pool.weight"][:, :, 0]
    front, cells = x[:, :, : int(c.cls_token)], x[:, :, int(c.cls_token) :]
    image = cells.flatten(0, 1).mT.unflatten(2, c.grid_freq_time)
    padding = (kernel.shape[2] // 2, kernel.shape[3] // 2)
    image = F.conv2d(image, kernel, stride=stride, padding=padding, groups=image.shape[1])
    cells = image.flatten(2).mT.unflatten(0, x.shape[:2])
    return norm(torch.cat([front, cells], dim=2), p, f"attn.pool_{name}.norm_act.0")


def effective(table: Tensor, queries: int, keys: int) -> Tensor:
    rows = 2 * max(queries, keys) - 1
    return table if len(table) == rows else F.interpolate(table.T[None], size=rows, mode="linear")[0].T


def vectors(table: Tensor, queries: int, keys: int) -> Tensor:
    """The libraries' formula, in whole numbers: (queries, keys, width)."""
    table = effective(table, queries, keys)
    rows = torch.zeros(queries, keys, dtype=torch.long)
    for a in range(queries):
        for b in range(keys):  # a * max(keys / queries, 1) + (keys - 1 - b) * max(queries / keys, 1), rounded down
            over, under = max(keys, queries), (queries, keys)
            rows[a, b] = (a * over * under[1] + (keys - 1 - b) * over * under[0]) // (under[0] * under[1])
    return table[rows]


def bias(q: Tensor, p: Weights, c: Case) -> Tensor:
    """What relative positions add to the logits; nothing for a class token."""
    (qf, qt), (kf, kt) = c.queries, c.keys
    cells = q[:, :, int(c.cls_token) :].unflatten(2, (qf, qt))
    rows = torch.einsum("bhftd,fgd->bhftg", cells, vectors(p["attn.rel_pos_h"], qf, kf))
    columns = torch.einsum("bhftd,tsd->bhfts", cells, vectors(p["attn.rel_pos_w"], qt, kt))
    both = (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)
    return F.pad(both, (int(c.cls_token), 0, int(c.cls_token), 0))


def attend(x: Tensor, p: Weights, c: Case) -> dict[str, Tensor]:
    q, k, v = (heads_of(part, c.heads) for part in linear(x, p, "attn.qkv").split(c.dim_out, dim=-1))
    found = {f"pool_{name}": pool(part, p, name, c) for name, part in zip("qkv", (q, k, v), strict=True)}
    q, k, v = found.values()
    seen = heads_of(attention(q, k, v, bias(q, p, c) if c.rel_pos else 0.0), c.heads)
    front = int(c.cls_token)
    seen = torch.cat([seen[:, :, :front], seen[:, :, front:] + q[:, :, front:]], dim=2)
    return {**found, "attn_out": linear(seen.transpose(1, 2).flatten(2), p, "attn.project.0")}


def shortcut(x: Tensor, c: Case) -> Tensor:
    kernel = [s + 1 if s > 1 else 1 for s in c.stride_q]
    front, cells = x[:, : int(c.cls_token)], x[:, int(c.cls_token) :]
    image = cells.mT.unflatten(2, c.grid_freq_time)
    image = F.max_pool2d(image, kernel, c.stride_q, [k // 2 for k in kernel])
    assert tuple(image.shape[2:]) == c.queries  # or the libraries refuse the case
    return torch.cat([front, image.flatten(2).mT], dim=1)


def run(d: Draws, c: Case) -> dict[str, Tensor]:
    p = weights(d, c)
    x = d.normal(c.batch, int(c.cls_token) + c.grid_freq_time[0] * c.grid_freq_time[1], c.dim_in)
    normed = norm(x, p, "norm1")
    normed = normed.float().double()
    inner = attend(normed, p, c)
    y = shortcut(linear(normed, p, "project") if "project.weight" in p else x, c) + inner["attn_out"]
    y = y + linear(gelu(linear(norm(y, p, "norm2"), p, "mlp.0")), p, "mlp.3")
    found = {"input": x, "output": y, **{f"param.{name}": value for name, value in p.items()}}
    if not c.inside:
        return found
    grids = {"q": c.queries, "k": c.keys, "v": c.keys}
    found |= {"attn_in": normed, **inner} | {f"pool_{n}_grid": torch.tensor(grid) for n, grid in grids.items()}
    for name, queries, keys in zip("hw", c.queries, c.keys, strict=True) if c.rel_pos else ():
        found[f"rel_pos_{name}_effective"] = effective(p[f"attn.rel_pos_{name}"], queries, keys)
    return found


def write(folder: Path, kind: str) -> None:
    d, arrays, told = Draws(15), {}, {}
    for name, c in CASES[kind].items():
        arrays |= {f"{name}/{key}": value for key, value in run(d, c).items()}
        told[name] = {**asdict(c), "out_grid": list(c.queries), "residual_pool": True}
        del told[name]["inside"]
    save(folder, "mvit_block", {"cases": told}, arrays)
