"""The loop: killed runs go on exactly, processes agree, bad losses are named, averages and schedules are right."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from hear_audioformer.msm_mae import Config, MsmMae
from training import checkpoints, logs
from training.loop import DivergedError, Settings, clip_each, leave, train
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
    leave()


def final(folder: Path) -> dict[str, Any]:
    newest = checkpoints.latest(folder)
    assert newest is not None
    return torch.load(newest, weights_only=True)


def test_a_killed_run_goes_on_exactly(tmp_path: Path) -> None:
    """SIGKILL twice, at whatever instant; weights, averages and log equal those of a run that nobody disturbed."""
    steps = 8
    command = [sys.executable, "-m", "tests.training.test_loop", str(tmp_path / "killed"), str(steps)]
    for wanted in (2, 5):
        process = subprocess.Popen([*command, "0.15"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(logs.read(tmp_path / "killed" / "log.jsonl")) < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(logs.read(tmp_path / "killed" / "log.jsonl")) < steps
    subprocess.run([*command, "0"], cwd=ROOT, check=True, capture_output=True)
    run(tmp_path / "whole", steps=steps)
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
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    [*lines] = logs.read(tmp_path / "two" / "log.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3]
    run(tmp_path / "one", steps=3)
    assert lines[0]["loss"] == pytest.approx(logs.read(tmp_path / "one" / "log.jsonl")[0]["loss"], rel=0.1)
    assert lines[0]["loss"] != logs.read(tmp_path / "one" / "log.jsonl")[0]["loss"]  # other crops
    assert final(tmp_path / "two")["step"] == 3


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    run(tmp_path, until=2)
    with pytest.raises(ValueError, match="is of another run: recipe differ; choose another folder"):
        train(
            small_objective(),
            noise,
            Settings(steps=6, batch=4, lr=1e-2, ema=0.9),
            tmp_path,
            Fabric(accelerator="cpu", devices=1),
            facts={"recipe": "other"},
        )


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    run(tmp_path, keep=2, checkpoint_seconds=0.0)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000005.ckpt", "step-00000006.ckpt"]


def test_a_half_written_checkpoint_is_not_used(tmp_path: Path) -> None:
    run(tmp_path, until=2)
    (tmp_path / "step-00000004.part").write_bytes(b"half")
    newest = checkpoints.latest(tmp_path)
    assert newest is not None
    assert newest.name == "step-00000002.ckpt"


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


def test_bad_losses_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective = Line(bad=(1, 2))
    run(tmp_path, objective, steps=4)
    assert all(torch.isfinite(parameter).all() for parameter in objective.parameters())
    assert "step 1: 1 losses were NaN or infinite (fit); step left out" in capsys.readouterr().out
    with pytest.raises(DivergedError, match="no finite loss for 3 steps"):
        run(tmp_path / "bad", Line(bad=tuple(range(99))), steps=50, patience=2)


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    objective = Line()
    start = weights(objective)
    first = weights(run(tmp_path, objective, steps=1, warmup=0))
    found = torch.cat([tensor.flatten() for tensor in final(tmp_path)["average"]])
    assert torch.allclose(found, 0.9 * start + 0.1 * first)


def test_accumulation_is_a_larger_batch(tmp_path: Path) -> None:
    def constant(batch: int, generator: torch.Generator) -> Tensor:
        return torch.ones(batch, 96 * 160)

    ends = []
    for accumulate in (1, 4):
        objective, folder = Line(), tmp_path / str(accumulate)
        settings = Settings(steps=3, batch=4, lr=1.0, accumulate=accumulate, clip=1.0)
        ends.append(weights(train(objective, constant, settings, folder, Fabric(accelerator="cpu", devices=1))))
    assert torch.allclose(ends[0], ends[1])


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
            calls.append(("before", step, float(self.bias[0]), self.bias.grad is None))

        def after_step(self, step: int, steps: int) -> None:
            calls.append(("after", step, float(self.bias[0]), steps))

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


def test_the_log_holds_what_a_reader_needs(tmp_path: Path) -> None:
    run(tmp_path)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert line.keys() >= {"step", "loss", "lr", "grad_norm", "crops_per_second", "mfu", "data_share"}
    assert 0 < line["mfu"] < 1.5
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_schedules() -> None:
    assert [warm_cosine(step, 10, 1.0, warmup=4) for step in (0, 2, 4, 10)] == pytest.approx([0.0, 0.5, 1.0, 0.0])
    assert warm_cosine(7, 10, 1.0, warmup=4, end=0.2) == pytest.approx(0.6)
    assert cosine(5, 10, 0.04, 0.4) == pytest.approx(0.22)
    assert Settings(steps=10, batch=512, lr=3e-4, warmup=2).rate(2) == pytest.approx(6e-4)


if __name__ == "__main__":
    main()
