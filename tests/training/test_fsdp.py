"""Sharded training: two processes with half of the weights each learn what two with all of them learn."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from hear_audioformer import load_model
from tests.training.test_export import RECIPE
from tests.training.test_loop import final, noise
from training import fsdp, logs
from training.average import Average
from training.export import export
from training.loop import Settings, leave, train
from training.pretrain import build, fabric_for
from training.recipe import Recipe

ROOT = Path(__file__).parents[2]
LOOP: dict[str, Any] = {
    "steps": 4, "batch": 8, "accumulate": 2, "lr": 1.0, "warmup": 1, "clip": 0.3, "ema": 0.5, "log_every": 1,
    "checkpoint_seconds": 0.0, "keep": 3,
}  # fmt: skip


class Told:
    """Noise that wants to be told of what it is asked for."""

    def begin(self, batch: int, seeds: Iterable[int]) -> None:
        self.batch, self.seeds = batch, list(seeds)

    def __call__(self, batch: int, generator: torch.Generator) -> Tensor:
        if (batch, generator.initial_seed()) != (self.batch, self.seeds.pop(0)):
            raise SystemExit("asked for what was not told")
        return noise(batch, generator)


def run(folder: Path, strategy: str) -> nn.Module:
    """One process's part of a run."""
    recipe = {**RECIPE, "loop": LOOP, "strategy": strategy}
    fabric = fabric_for("32-true", strategy)
    fabric.launch()
    source, facts = Told(), {"recipe": recipe}
    model = train(build(Recipe.parse(recipe)), source, Settings(**LOOP), folder, fabric, seed=3, facts=facts)
    if source.seeds:
        raise SystemExit("told of what was not asked for")
    return model


def main() -> None:
    """What each process runs: ``FOLDER``."""
    folder = Path(sys.argv[1])
    run(folder / "ddp", "ddp")
    model = run(folder / "fsdp", "fsdp")
    if int(os.environ["RANK"]) == 0:
        (folder / "two").mkdir()
        for name in ("step-00000002.ckpt", "log.jsonl"):  # as if the run had been killed after its second step
            shutil.copy(folder / "fsdp" / name, folder / "two" / name)
    torch.distributed.barrier()
    run(folder / "two", "fsdp")
    whole = sum(parameter.numel() for parameter in model.parameters())
    mine = sum(fsdp.local_shard(parameter).numel() for parameter in model.parameters())
    if not all(isinstance(parameter, DTensor) for parameter in model.parameters()) or mine > 0.6 * whole:
        raise SystemExit(f"{mine} of {whole} parameters are on this process")
    leave()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tests.training.test_fsdp", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return folder


def lines(folder: Path) -> list[tuple[float, float]]:
    return [(line["loss"], line["grad_norm"]) for line in logs.read(folder / "log.jsonl")]


def moved(name: str, tensor: Tensor) -> Tensor:
    """A parameter without the bias of attention's keys: its gradient is zero but for rounding, which AdamW blows up."""
    if not name.endswith("qkv.bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])


def test_shards_learn_what_whole_models_learn(runs: Path) -> None:
    sharded, whole = final(runs / "fsdp"), final(runs / "ddp")
    assert list(sharded["model"]) == list(whole["model"])
    names = [name for name, _ in build(Recipe.parse(RECIPE)).named_parameters()]
    pairs = [(name, sharded["model"][name], whole["model"][name]) for name in whole["model"]]
    pairs += zip(names, sharded["average"], whole["average"], strict=True)
    assert all(torch.allclose(moved(name, a), moved(name, b), atol=1e-5) for name, a, b in pairs)
    for mine, other in zip(lines(runs / "fsdp"), lines(runs / "ddp"), strict=True):
        assert mine == pytest.approx(other, rel=1e-4)
    assert max(norm for _, norm in lines(runs / "ddp")) > LOOP["clip"]  # clipping took part


def test_shards_go_on_exactly(runs: Path) -> None:
    two, one = final(runs / "two"), final(runs / "fsdp")
    assert lines(runs / "two") == lines(runs / "fsdp")
    assert all(torch.equal(two["model"][name], tensor) for name, tensor in one["model"].items())
    assert all(torch.equal(a, b) for a, b in zip(two["average"], one["average"], strict=True))


def test_shards_become_a_model(runs: Path, tmp_path: Path) -> None:
    export(runs / "fsdp", "mine", tmp_path, licence="CC0-1.0", hardware="two CPU processes")
    encoder = load_model(str(tmp_path / "mine.safetensors")).encoder
    names = [name for name, _ in build(Recipe.parse(RECIPE)).named_parameters()]
    wanted = dict(zip(names, final(runs / "fsdp")["average"], strict=True))
    for name, tensor in encoder.named_parameters():
        assert torch.allclose(tensor, wanted[f"encoder.{name}"], atol=1e-3)


def test_without_shards_all_is_ones_own() -> None:
    tensor = torch.ones(3)
    assert fsdp.local_shard(tensor) is fsdp.full_tensor(tensor, tensor) is fsdp.shard_of(tensor, tensor) is tensor
    assert fsdp.to_float(None) != fsdp.to_float(None)
    assert fsdp.to_float(torch.tensor(2.0)) == 2.0


def test_no_average_costs_nothing() -> None:
    average = Average(nn.Linear(2, 2), None)
    average.update()
    assert average.state(keep=True) == []


if __name__ == "__main__":
    main()
