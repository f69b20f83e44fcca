"""ASiT's objective against the authors': outputs, losses, centres, gradients, schedules, and one optimiser step."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hear_audioformer.convert.names import upstream
from tests.test_golden_asit import CONFIG, GOLDEN, close, model, other, pictures, state_dict
from training.loop import Settings, _groups, clip_each
from training.objectives.asit import AsitObjective, Temperatures, Views
from training.objectives.asit_network import Heads, Network
from training.objectives.distil import ema_update
from training.objectives.gmml import Corrupted, Corruption
from training.schedule import cosine, warm_cosine

HEADS = Heads(
    hidden=CONFIG["cls_hidden_dim"],
    bottleneck=CONFIG["cls_bottleneck_dim"],
    cls=CONFIG["out_dim_cls"],
    patch=CONFIG["out_dim_data"],
    paint_hidden=CONFIG["rec_hidden_dim"],
    paint_bottleneck=CONFIG["rec_bottleneck_dim"],
)
NAMES = {
    "project.layers.0": "head_cls.mlp.0",
    "project.layers.1": "head_cls.mlp.2",
    "project.layers.2": "head_cls.mlp.4",
    "project.cls.weight": "head_cls.cls_layer.weight_v",
    "project.cls.scale": "head_cls.cls_layer.weight_g",
    "project.patch.weight": "head_cls.data_layer.weight_v",
    "project.patch.scale": "head_cls.data_layer.weight_g",
    "paint.layers.0": "head_recons.mlp.0",
    "paint.layers.1": "head_recons.mlp.2",
    "paint.layers.2": "head_recons.mlp.4",
    "paint.spread.weight": "head_recons.convTrans.weight",
    "paint.level": "head_recons.convTrans.bias",
}


def theirs(name: str) -> str:
    """The authors' name of a network's parameter."""
    if name.startswith("encoder."):
        return "backbone." + upstream(name.removeprefix("encoder."))
    for ours, found in NAMES.items():
        name = name.replace(ours, found)
    return name


def as_theirs(name: str, tensor: Tensor) -> Tensor:
    """A parameter of ours, or its gradient, in the authors' shape."""
    wanted = GOLDEN[f"student/{theirs(name)}"]
    return (tensor.mT if name == "paint.spread.weight" else tensor).reshape(wanted.shape)


def filled(network: Network, which: str) -> None:
    state = state_dict(which)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            tensor = state[theirs(name)]
            turned = tensor.flatten(1).mT if name == "paint.spread.weight" else tensor
            parameter.copy_(turned.reshape(parameter.shape))


def objective() -> AsitObjective:
    """The golden's student and teacher, as they are at its epoch."""
    made = AsitObjective(
        model("student"),
        epoch=1,
        span=CONFIG["secs_per_crop"],
        seconds=CONFIG["secs_per_crop"],
        corruption=Corruption(drop=CONFIG["drop_perc"], align=CONFIG["drop_align"]),
        heads=HEADS,
        temperatures=temperatures(),
        centring=CONFIG["center_momentum"],
        drop_path=0.0,
        fresh=False,
    )
    filled(made.student, "student")
    filled(made.teacher, "teacher")
    return made


def temperatures() -> Temperatures:
    return Temperatures(
        CONFIG["student_temp"],
        CONFIG["warmup_teacher_temp"],
        CONFIG["teacher_temp"],
        CONFIG["warmup_teacher_temp_epochs"],
    )


def views() -> Views:
    return Views(pictures("out/normalised"), Corrupted(pictures("in/corrupted"), pictures("in/mask").bool()))


def test_every_parameter_of_theirs_is_one_of_ours() -> None:
    made = objective()
    for network in (made.student, made.teacher):
        assert {theirs(name) for name, _ in network.named_parameters()} == set(state_dict("student"))
    learnt = [theirs(name) for name, parameter in made.student.named_parameters() if parameter.requires_grad]
    assert sorted(learnt) == sorted(CONFIG["grad_param_names"])
    assert not any(parameter.requires_grad for parameter in made.teacher.parameters())


def test_outputs() -> None:
    made, given = objective(), views()
    with torch.no_grad():
        for name, network, seen in (
            ("student", made.student, given.seen.pictures),
            ("teacher", made.teacher, given.clean),
        ):
            tokens = network.tokens(seen)
            close(tokens, f"out/{name}_tokens", 1e-5)
            cls, patch = network.project(tokens)
            close(cls, f"out/{name}_cls", 1e-5)
            close(patch.flatten(0, 1), f"out/{name}_data", 1e-5)
        painted = made.student.paint(made.student.tokens(given.seen.pictures)[:, 1:], made.encoder.rows)
        close(painted[:, None], "out/student_recons", 1e-5)


@pytest.mark.parametrize("length", CONFIG["other_frames"])
def test_other_lengths_are_painted_too(length: int) -> None:
    made = objective()
    with torch.no_grad():
        tokens = made.student.tokens(other(length))
        close(made.student.paint(tokens[:, 1:], made.encoder.rows)[:, None], f"out/other_{length}_recons", 1e-5)


def test_losses_and_centres_of_two_steps() -> None:
    made, step = objective(), CONFIG["loss_epoch"]
    for number in (1, 2):
        total, parts = made.losses(views(), step)
        close(parts["cls"], f"out/loss_cls_step{number}", 1e-5)
        close(parts["patch"], f"out/loss_data_step{number}", 1e-5)
        close(parts["pixel"], "out/loss_recons", 1e-5)
        if number == 1:
            close(total.detach(), "out/loss_total_step1", 1e-5)
        for name, found in (("cls", "cls"), ("patch", "data")):
            made.centres[name].update()  # type: ignore[operator]
            close(made.centres[name].value[None], f"out/center_{found}_after{number}", 1e-5)  # type: ignore[index]


def test_gradients_and_one_step() -> None:
    """Per-tensor clipping, AdamW and the teacher's move, through the loop's own functions."""
    made = objective()
    made.losses(views(), CONFIG["loss_epoch"])[0].backward()
    named = {theirs(name): (name, p) for name, p in made.student.named_parameters() if p.requires_grad}
    gradients = {found: as_theirs(name, p.grad) for found, (name, p) in named.items() if p.grad is not None}
    for found in stored("out/grad/"):
        close(gradients[found], f"out/grad/{found}", 1e-5)
    torch.testing.assert_close(norms(gradients), GOLDEN["out/grad_norms"], rtol=1e-5, atol=1e-5)
    settings = Settings(steps=1, batch=256, lr=CONFIG["step_lr"], weight_decay=CONFIG["step_wd"], betas=(0.9, 0.999))
    optimiser = torch.optim.AdamW(_groups(made, settings), lr=CONFIG["step_lr"], betas=settings.betas)
    clip_each(made.parameters(), CONFIG["step_clip"])
    close(norms({found: p.grad for found, (_, p) in named.items()}), "out/grad_norms_clipped", 1e-5)
    clipped = {found: as_theirs(name, p.grad) for found, (name, p) in named.items() if p.grad is not None}
    optimiser.step()
    ema_update(made.teacher, made.student, CONFIG["step_momentum"])
    for which, network in (("student", made.student), ("teacher", made.teacher)):
        ours = {theirs(name): as_theirs(name, p.detach()) for name, p in network.named_parameters()}
        names = stored(f"out/after_step/{which}/")
        assert names
        for found in names:
            close(ours[found], f"out/after_step/{which}/{found}", 1e-5, slack=slack(clipped[found]))


def slack(gradient: Tensor) -> Tensor:
    """By how much AdamW's first step, lr * g / (|g| + 1e-8), moves with a gradient's rounding error of 2e-7."""
    return CONFIG["step_lr"] * (1e-8 * 2e-7 / gradient.square().clamp(min=1e-30)).clamp(max=2)


def stored(prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in GOLDEN.names if name.startswith(prefix)]


def norms(gradients: dict[str, Any]) -> Tensor:
    return torch.stack([gradients[name].norm() for name in CONFIG["grad_param_names"]])


def last(schedule: Tensor) -> float:
    """Where half a cosine ends, told by its first value and its last, which is a step before."""
    steps = len(schedule)
    left = 0.5 * (1 + math.cos(math.pi * (steps - 1) / steps))
    return float((schedule[-1] - schedule[0] * left) / (1 - left)) if steps > 1 else float(schedule[0])


def test_schedules() -> None:
    """Theirs are per epoch and step; the warm-up of theirs ends a step earlier, which is all that differs.

    The file does not name where decay and momentum begin and end, nor where the rate ends: its values do.
    """
    steps, warm = CONFIG["sched_epochs"] * CONFIG["sched_niter"], CONFIG["sched_warmup"] * CONFIG["sched_niter"]
    momentum = [cosine(step, steps, float(GOLDEN["out/sched_momentum"][0]), 1.0) for step in range(steps)]
    close(torch.tensor(momentum, dtype=torch.float64), "out/sched_momentum", 1e-9)
    wanted = GOLDEN["out/sched_wd"]
    settings = Settings(steps=steps, batch=256, lr=1.0, weight_decay=float(wanted[0]), weight_decay_end=last(wanted))
    decay = torch.tensor([settings.weight_decay_at(step) for step in range(steps)], dtype=torch.float64)
    assert (decay - wanted).abs().max() < 1e-9
    rates = GOLDEN["out/sched_lr"]
    options: dict[str, Any] = {"warmup": warm, "end": last(rates[warm:])}
    ours = torch.tensor([warm_cosine(s, steps, CONFIG["sched_lr"], **options) for s in range(steps)]).double()
    assert (ours[warm:] - rates[warm:]).abs().max() < 1e-9
    if warm:
        assert (ours[:warm] * warm / max(1, warm - 1) - rates[:warm]).abs().max() < 1e-9
    found = [temperatures().teacher(epoch) for epoch in range(CONFIG["epochs"])]
    close(torch.tensor(found, dtype=torch.float64), "out/sched_teacher_temp", 1e-9)
