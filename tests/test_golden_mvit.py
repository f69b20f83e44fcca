"""The pooled-attention block against two libraries' own: pools, tables, attention and output of every golden case.

The file names its own sizes and cases; $GOLDENS may name a folder with another one of the same layout.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from hear_audioformer.mast.block import PooledBlock, Shape, pooled_size
from hear_audioformer.mast.positions import resize
from tests.golden_file import GoldenFile

GOLDEN = GoldenFile("mvit_block")
CASES: dict[str, dict[str, Any]] = GOLDEN.config["cases"]
INSIDE = [case for case in CASES if f"{case}/attn_in" in GOLDEN.names]  # cases that show more than input and output
RELATIVE = [case for case, config in CASES.items() if config["rel_pos"]]
TOLERANCE = 1e-5


def golden(case: str, name: str) -> Tensor:
    return GOLDEN[f"{case}/{name}"]


def shape(case: str, **changes: Any) -> Shape:
    config = CASES[case]
    fields = {
        "grid": tuple(config["grid_freq_time"]),
        "dim": config["dim_in"],
        "out": config["dim_out"],
        "heads": config["heads"],
        "query_stride": tuple(config["stride_q"]),
        "query_kernel": tuple(config["kernel_q"]),
        "key_stride": tuple(config["stride_kv"]),
        "key_kernel": tuple(config["kernel_kv"]),
        "relative": config["rel_pos"],
        "positions": "stretch",
    }
    return Shape(**{**fields, **changes})


def tables(case: str) -> dict[str, Tensor]:
    """Relative positions by our names: the tables as they take effect, where the file has them."""
    found = {}
    for ours, theirs in (("frequency", "h"), ("time", "w")):
        effective = f"rel_pos_{theirs}_effective"
        name = effective if f"{case}/{effective}" in GOLDEN.names else f"param.attn.rel_pos_{theirs}"
        found[f"attention.relative.{ours}"] = golden(case, name)
    return found


def state_dict(case: str) -> dict[str, Tensor]:
    """The golden's parameters by our names."""
    state = tables(case) if CASES[case]["rel_pos"] else {}
    for part in ("weight", "bias"):
        for ours, theirs in (
            ("attention_norm", "norm1"),
            ("attention.out", "attn.project.0"),
            ("mlp_norm", "norm2"),
            ("mlp.up", "mlp.0"),
            ("mlp.down", "mlp.3"),
            ("shortcut", "project"),
        ):
            if f"{case}/param.{theirs}.{part}" in GOLDEN.names:
                state[f"{ours}.{part}"] = golden(case, f"param.{theirs}.{part}")
        for name, mine in zip("qkv", golden(case, f"param.attn.qkv.{part}").chunk(3), strict=True):
            state[f"attention.{name}.{part}"] = mine
            state[f"attention.pool_{name}.norm.{part}"] = golden(case, f"param.attn.pool_{name}.norm_act.0.{part}")
    for name in "qkv":
        state[f"attention.pool_{name}.kernel"] = golden(case, f"param.attn.pool_{name}.pool.weight").flatten(1, -3)
    return state


def block(case: str, **changes: Any) -> PooledBlock:
    mlp_ratio = len(golden(case, "param.mlp.0.weight")) / CASES[case]["dim_out"]
    made = PooledBlock(shape(case, **changes), mlp_ratio)
    made.load_state_dict(state_dict(case))
    for module in made.modules():
        if isinstance(module, torch.nn.LayerNorm):
            assert module.eps == CASES[case]["layernorm_eps"]
    return made.eval()


def even(case: str) -> bool:
    """Whether the pooled grids are to each other as their strides."""
    config = CASES[case]
    grid, query, key = (tuple(config[name]) for name in ("grid_freq_time", "stride_q", "stride_kv"))
    covered = ([n * s for n, s in zip(pooled_size(grid, stride), stride, strict=True)] for stride in (query, key))
    return next(covered) == next(covered)


def close(found: Tensor, case: str, name: str) -> None:
    """Holds a result against the file's; ``pytest -s`` shows how near it came."""
    GOLDEN.close(found, f"{case}/{name}", TOLERANCE)


@pytest.mark.parametrize("case", CASES)
def test_block(case: str) -> None:
    config = CASES[case]
    grid = tuple(config["grid_freq_time"])
    assert list(pooled_size(grid, tuple(config["stride_q"]))) == config["out_grid"]
    with torch.no_grad():
        close(block(case)(golden(case, "input"), grid), case, "output")


@pytest.mark.parametrize("case", INSIDE)
def test_attention(case: str) -> None:
    with torch.no_grad():
        attention = block(case).attention
        close(attention(golden(case, "attn_in"), tuple(CASES[case]["grid_freq_time"])), case, "attn_out")


@pytest.mark.parametrize("name", ["q", "k", "v"])
@pytest.mark.parametrize("case", INSIDE)
def test_pools(case: str, name: str) -> None:
    attention, grid = block(case).attention, tuple(CASES[case]["grid_freq_time"])
    linear, pool = getattr(attention, name), getattr(attention, f"pool_{name}")
    with torch.no_grad():
        close(pool(linear(golden(case, "attn_in")), grid), case, f"pool_{name}")
    assert list(pooled_size(grid, pool.stride)) == golden(case, f"pool_{name}_grid").tolist()


@pytest.mark.parametrize("case", [case for case in RELATIVE if case in INSIDE])
def test_tables_are_resized_as_there(case: str) -> None:
    for theirs in ("h", "w"):
        wanted = golden(case, f"rel_pos_{theirs}_effective")
        close(resize(golden(case, f"param.attn.rel_pos_{theirs}"), len(wanted)), case, f"rel_pos_{theirs}_effective")


@pytest.mark.parametrize("case", [case for case in RELATIVE if even(case)])
def test_clamped_positions_are_the_same_where_strides_divide_the_grid(case: str) -> None:
    """Distances of centres and ratios of grids differ only where a grid's last cell is a partial one."""
    with torch.no_grad():
        found = block(case, positions="clamp")(golden(case, "input"), tuple(CASES[case]["grid_freq_time"]))
    close(found, case, "output")
