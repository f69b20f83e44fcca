"""The loop: killed runs go on exactly, processes agree, averages, clipping, schedules and the log are right."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from hear_audioformer.msm_mae import Config, MsmMae
from training import checkpoints, logs, loop, progress
from training.flops import flops_per_crop, peak_flops
from training.loop import Settings, clip_each, leave, train
from training.objectives.msm_mae import MsmMaeObjective
from training.schedule import cosine, warm_cosine

ROOT = Path(__file__).parents[2]


def small_objective() -> MsmMaeObjective:
    torch.manual_seed(0)
    return MsmMaeObjective(MsmMae(Config(width=24, depth=1, heads=2, frames=96)), width=16, depth=1, heads=2)


def noise(batch: int, generator: torch.Generator) -> Tensor:
    return 0.1 * torch.randn(batch, 96 * 160, generator=generator, device=generator.device)


def run(folder: Path, objective: nn.Module | None = None, until: int | None = None, **settings: Any) -> nn.Module:
    """A short run on one CPU process."""
    chosen = Settings(**{"steps": 6, "batch": 4, "lr": 1e-2, "warmup": 2, "log_every": 1, "ema": 0.9, **settings})
    fabric = Fabric(accelerator="cpu", devices=1)
    return train(objective or small_objective(), noise, chosen, folder, fabric, facts={"recipe": "test"}, until=until)


def weights(objective: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in objective.parameters()])


def main() -> None:
    """What the killed processes run: ``FOLDER STEPS PAUSE``, a checkpoint each step."""
    folder, steps, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

    def slow(batch: int, generator: torch.Generator) -> Tensor:
        time.sleep(pause)
        return noise(batch, generator)

    world = int(os.environ.get("WORLD_SIZE", 1))
    fabric = Fabric(accelerator="cpu", devices=world, strategy="ddp" if world > 1 else "auto")
    fabric.launch()
    settings = Settings(steps=steps, batch=4, lr=1e-2, warmup=2, log_every=1, ema=0.9, checkpoint_seconds=0.0)
    mine = weights(train(small_objective(), slow, settings, folder, fabric, facts={"recipe": "test"}))
    if world > 1 and not all(torch.equal(mine, other) for other in fabric.all_gather(mine)):  # type: ignore[union-attr]
        raise SystemExit("the processes ended with different weights")
    if world > 1:
        settings = Settings(steps=2, batch=4, lr=1e-2, log_every=1)
        train(Line(bad=(1,) if fabric.global_rank == 1 else ()), noise, settings, folder / "bad", fabric)
    leave()


def final(folder: Path) -> dict[str, Any]:
    newest = checkpoints.latest(folder)
    assert newest is not None
    return torch.load(newest, weights_only=True)


def test_a_killed_run_goes_on_exactly(tmp_path: Path) -> None:
    """SIGKILL twice, at whatever instant; weights, averages and log equal those of a run that nobody disturbed.

    Both run in processes of one thread: other tests change the threads of this one, and so the order of sums.
    """
    steps = 8
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.test_loop", str(tmp_path / "killed"), str(steps)]
    hidden: Any = {"cwd": ROOT, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for wanted in (2, 5):
        process = subprocess.Popen([*command, "0.15"], **hidden)
        deadline = time.monotonic() + 60
        while len(logs.read(tmp_path / "killed" / "log.jsonl")) < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(logs.read(tmp_path / "killed" / "log.jsonl")) < steps
    for name in ("killed", "whole"):
        command[3] = str(tmp_path / name)
        subprocess.run([*command, "0"], check=True, **hidden)
    killed, whole = final(tmp_path / "killed"), final(tmp_path / "whole")
    assert killed["step"] == whole["step"] == steps
    for name, tensor in whole["model"].items():
        assert torch.equal(killed["model"][name], tensor)
    assert all(torch.equal(a, b) for a, b in zip(killed["average"], whole["average"], strict=True))
    lines = [logs.read(tmp_path / name / "log.jsonl") for name in ("killed", "whole")]
    assert [(line["step"], line["loss"]) for line in lines[0]] == [(line["step"], line["loss"]) for line in lines[1]]


def test_a_run_in_two_days_equals_one_in_one(tmp_path: Path) -> None:
    run(tmp_path / "two", until=3)
    assert torch.equal(weights(run(tmp_path / "two")), weights(run(tmp_path / "one")))


def test_two_processes_agree_and_learn_from_all_crops(tmp_path: Path) -> None:
    """The processes themselves compare their last weights; here their common log is held against a lone run's."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tests.training.test_loop", str(tmp_path / "two"), "3", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment)
    assert "step 1: 1 losses were NaN or infinite (fit); step left out" in result.stdout
    assert [line["left_out"] for line in logs.read(tmp_path / "two" / "bad" / "log.jsonl")] == [0, 1]
    [*lines] = logs.read(tmp_path / "two" / "log.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3]
    run(tmp_path / "one", steps=3)
    assert lines[0]["loss"] == pytest.approx(logs.read(tmp_path / "one" / "log.jsonl")[0]["loss"], rel=0.1)
    assert lines[0]["loss"] != logs.read(tmp_path / "one" / "log.jsonl")[0]["loss"]  # other crops
    assert final(tmp_path / "two")["step"] == 3


class Line(nn.Module):
    """A toy objective: fit a mean, with a NaN at chosen steps."""

    crop = 96 * 160

    def __init__(self, bad: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))
        self.bias = nn.Parameter(torch.ones(2))
        self.bad = bad

    def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        loss = (self.weight.square().sum() + self.bias.sum() - audio.mean()) ** 2
        part = loss * (torch.nan if step in self.bad else 1.0)
        return part, {"fit": part.detach(), "fine": loss.detach()}


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    objective = Line()
    start = weights(objective)
    first = weights(run(tmp_path, objective, steps=1, warmup=0))
    found = torch.cat([tensor.flatten() for tensor in final(tmp_path)["average"]])
    assert torch.allclose(found, 0.9 * start + 0.1 * first)


def test_accumulation_is_a_larger_batch(tmp_path: Path) -> None:
    def constant(batch: int, generator: torch.Generator) -> Tensor:
        return torch.ones(batch, 96 * 160)

    ends, norms = [], []
    for accumulate in (1, 4):
        objective, folder = Line(), tmp_path / str(accumulate)
        settings = Settings(steps=3, batch=4, lr=1.0, accumulate=accumulate, clip=1.0, log_every=1)
        ends.append(weights(train(objective, constant, settings, folder, Fabric(accelerator="cpu", devices=1))))
        norms.append([line["grad_norm"] for line in logs.read(folder / "log.jsonl")])
    assert torch.allclose(ends[0], ends[1])
    assert norms[0] == pytest.approx(norms[1])


@pytest.mark.parametrize("clip", [1.0, None])
def test_gradients_are_clipped(tmp_path: Path, clip: float | None) -> None:
    """AdamW's first moment is a tenth of the first gradient."""
    run(tmp_path, Line(), steps=1, clip=clip, ema=None)
    states = final(tmp_path)["optimiser"]["state"].values()
    norm = 10 * torch.cat([state["exp_avg"].flatten() for state in states]).norm().item()
    [line] = logs.read(tmp_path / "log.jsonl")
    assert line["grad_norm"] > 10
    assert norm == pytest.approx(clip or line["grad_norm"], rel=1e-4)


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loop.batch=4 cannot be cut .*: choose a multiple of 3"):
        run(tmp_path, accumulate=3)


def test_no_two_processes_or_steps_share_crops() -> None:
    settings = Settings(steps=9, batch=12, lr=1.0, accumulate=2)
    fabrics: list[Any] = [SimpleNamespace(world_size=3, global_rank=rank) for rank in range(3)]
    taken = sorted(place for fabric in fabrics for place in loop._batch_numbers(2, 5, settings, fabric))
    assert taken == list(range(12, 30))
    assert len({loop._mix(seed, place) for seed in range(30) for place in range(30)}) == 900


def test_decay_spares_biases(tmp_path: Path) -> None:
    """With a rate but no gradient only the decay moves anything."""

    class Still(Line):
        def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            return 0.0 * (self.weight.sum() + self.bias.sum()), {}

    objective = run(tmp_path, Still(), steps=1, warmup=0, batch=256, lr=0.1, weight_decay=0.5)
    assert torch.allclose(objective.weight, torch.tensor(0.95))  # type: ignore[arg-type]
    assert torch.equal(objective.bias, torch.ones(2))  # type: ignore[arg-type]


def test_decay_goes_to_its_end(tmp_path: Path) -> None:
    class Still(Line):
        def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            return 0.0 * (self.weight.sum() + self.bias.sum()), {}

    ends = {"weight_decay": 0.2, "weight_decay_end": 0.6, "lr": 0.1, "min_lr": 0.1}
    objective = run(tmp_path, Still(), steps=2, warmup=0, batch=256, **ends)
    wanted = (1 - 0.1 * 0.2) * (1 - 0.1 * 0.4)  # at the first step, and half way
    assert torch.allclose(objective.weight, torch.tensor(wanted))  # type: ignore[arg-type]


def test_gradients_are_clipped_each_by_itself() -> None:
    parameters = [nn.Parameter(torch.zeros(4)) for _ in range(3)]
    for parameter, value in zip(parameters[:2], (3.0, 0.1), strict=True):
        parameter.grad = torch.full((4,), value)
    clip_each(parameters, 2.0)
    assert torch.allclose(parameters[0].grad, torch.ones(4))  # type: ignore[arg-type]
    assert torch.equal(parameters[1].grad, torch.full((4,), 0.1))  # type: ignore[arg-type]
    assert parameters[2].grad is None


@pytest.mark.parametrize(("options", "largest"), [({"clip_each": True}, 0.6), ({}, 0.6 * 0.5**0.5)])
def test_the_run_clips_as_told(tmp_path: Path, options: dict, largest: float) -> None:
    seen: list[float] = []

    class Equal(Line):
        """Both parameters get a gradient of norm 10 each."""

        def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            return 10 * (self.weight.sum() / 6**0.5 + self.bias.sum() / 2**0.5), {}

        def before_step(self, step: int) -> None:
            seen.extend(float(p.grad.norm()) for p in (self.weight, self.bias) if p.grad is not None)

        def after_step(self, step: int, steps: int) -> None: ...

    run(tmp_path, Equal(), steps=1, clip=0.6, **options)
    assert seen == pytest.approx([largest, largest], rel=1e-4)


def test_an_objective_steers_around_good_steps_only(tmp_path: Path) -> None:
    calls: list[tuple] = []

    class Steered(Line):
        def before_step(self, step: int) -> None:
            calls.append(("before", step, float(self.bias.detach()[0]), self.bias.grad is None))

        def after_step(self, step: int, steps: int) -> None:
            calls.append(("after", step, float(self.bias.detach()[0]), steps))

    run(tmp_path, Steered(bad=(1,)), steps=3, warmup=0)
    assert [call[:2] for call in calls] == [("before", 0), ("after", 0), ("before", 2), ("after", 2)]
    assert calls[0][2:] == (1.0, False)
    assert calls[1][2] != 1.0
    assert calls[1][3] == 3


def test_what_needs_no_gradient_is_neither_decayed_nor_averaged(tmp_path: Path) -> None:
    objective = Line()
    objective.bias.requires_grad_(False)
    run(tmp_path, objective, steps=1, warmup=0, weight_decay=0.5)
    assert torch.equal(objective.bias, torch.ones(2))
    assert len(final(tmp_path)["average"]) == 1


def test_parts_learn_at_their_own_rates(tmp_path: Path) -> None:
    """Adam's first step is as long as the rate; a rate of nothing moves nothing, and the log has the common one."""

    class Uneven(Line):
        def lr_scales(self) -> dict[str, float]:
            return {"weight": 0.0, "bias": 3.0}

    objective = run(tmp_path, Uneven(), steps=1, warmup=0, batch=256, lr=0.01, weight_decay=0.5)
    assert torch.equal(objective.weight, torch.ones(3, 2))  # type: ignore[arg-type]
    assert torch.allclose(objective.bias, torch.tensor(1 - 0.03))  # type: ignore[arg-type]
    assert logs.read(tmp_path / "log.jsonl")[0]["lr"] == pytest.approx(0.01)


def test_what_is_watched_is_the_average_and_is_logged(tmp_path: Path) -> None:
    objective, seen = Line(), []

    def watch() -> dict[str, float]:
        seen.append(objective.weight[0, 0].item())
        return {"valid": seen[-1]}

    settings = Settings(steps=5, batch=256, lr=0.1, swa=2, watch_every=2, log_every=9, weight_decay=0.0)
    train(objective, noise, settings, tmp_path, Fabric(accelerator="cpu", devices=1), watch=watch)
    lines = logs.read(tmp_path / "log.jsonl")
    assert [(line["step"], line["valid"]) for line in lines] == [(2, seen[0]), (4, seen[1]), (5, seen[2])]
    assert final(tmp_path)["average"][0][0, 0].item() == pytest.approx(seen[2])
    assert objective.weight[0, 0].item() != pytest.approx(seen[2])


def test_the_log_holds_what_a_reader_needs(tmp_path: Path) -> None:
    run(tmp_path)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert line.keys() >= {"step", "loss", "lr", "grad_norm", "crops_per_second", "mfu", "data_share", "left_out"}
    assert 0 < line["mfu"] < 1.5
    assert line["lr"] == final(tmp_path)["optimiser"]["param_groups"][0]["lr"] > 0
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    lines = logs.read(tmp_path / "log.jsonl")
    assert [event.step for event in board.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.value for event in board.Scalars("loss")] == pytest.approx([line["loss"] for line in lines])


def test_speed_is_that_of_all_processes() -> None:
    meter = progress.Meter(values={"loss": [torch.tensor(1.0)] * 6}, steps=3, waited=1.0)
    meter.started -= 4.0
    fabric: Any = SimpleNamespace(world_size=1, device="cpu")
    values = progress.measured(meter, Settings(steps=9, batch=8, lr=1.0, accumulate=2), fabric, flops=5.0, peak=300.0)
    assert values["crops_per_second"] == pytest.approx(3 * 8 / 4, rel=0.05)
    assert values["mfu"] == pytest.approx(5.0 * values["crops_per_second"] / 300.0)
    assert values["data_share"] == pytest.approx(0.25, rel=0.05)
    meter.lengths = [100, 20, 20, 60]  # clips of half a crop on average do half the work
    short = progress.measured(meter, Settings(steps=9, batch=8, lr=1.0), fabric, flops=5.0, peak=300.0, crop=100)
    assert short["mfu"] == pytest.approx(0.5 * 5.0 * short["crops_per_second"] / 300.0)


def test_flops_of_a_crop() -> None:
    class Product(nn.Module):
        crop = 7

        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Linear(7, 5)

        def forward(self, audio: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            return self.matrix(audio).sum(), {}

    assert flops_per_crop(Product()) == 2 * 7 * 5
    assert flops_per_crop(Product(), backward=True) == 2 * 2 * 7 * 5  # audio needs no gradient
    assert flops_per_crop(Product().requires_grad_(False)) == 2 * 7 * 5


@pytest.mark.parametrize(("name", "peak"), [("Tesla T4", 65e12), ("NVIDIA L4", 121e12), ("NVIDIA L40S", 362e12)])
def test_peaks_go_by_whole_names(name: str, peak: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_flops(torch.device("cuda"), "bf16-mixed") == peak


def test_schedules() -> None:
    assert [warm_cosine(step, 10, 1.0, warmup=4) for step in (0, 2, 4, 10)] == pytest.approx([0.0, 0.5, 1.0, 0.0])
    assert warm_cosine(7, 10, 1.0, warmup=4, end=0.2) == pytest.approx(0.6)
    assert cosine(5, 10, 0.04, 0.4) == pytest.approx(0.22)
    assert Settings(steps=10, batch=512, lr=3e-4, warmup=2).lr_at(2) == pytest.approx(6e-4)


if __name__ == "__main__":
    main()
