"""ASiT's objective where no file of the authors' can show it: views, pairing, teacher, centres, variants."""

import copy
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor

from hear_audioformer.asit import Asit, Config
from hear_audioformer.layers import drop_path
from training.loop import Settings, train
from training.objectives.asit import AsitObjective, Local, Temperatures, Views
from training.objectives.asit import Weights as LossWeights
from training.objectives.asit_network import Heads
from training.objectives.distil import Centre, cross_entropy, cross_view_entropy
from training.objectives.gmml import Corrupted


def small(**options: Any) -> AsitObjective:
    """A tiny objective with views of 0.5 s out of 1 s."""
    torch.manual_seed(0)
    encoder = Asit(Config(width=24, depth=2, heads=2, frames=48, patch=16))
    heads = Heads(hidden=16, bottleneck=8, cls=12, patch=10, paint_hidden=16, paint_bottleneck=8)
    made = {"epoch": 2, "span": 1.0, "seconds": 0.5, "heads": heads, "drop_path": 0.0, **options}
    return AsitObjective(encoder, **made)


def tones(batch: int, _: torch.Generator) -> Tensor:
    time = torch.arange(16000) / 16000
    return 0.3 * torch.sin(2 * torch.pi * time * torch.linspace(200, 3000, batch)[:, None])


def trained(folder: Any, made: AsitObjective, until: int | None = None, **options: Any) -> AsitObjective:
    settings = Settings(**{"steps": 4, "batch": 4, "lr": 0.3, "warmup": 1, "log_every": 1, **options})
    train(made, tones, settings, folder, Fabric(accelerator="cpu", devices=1), until=until)
    return made


def state(made: AsitObjective) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in made.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor], part: str) -> bool:
    names = [name for name in before if name.startswith(part)]
    assert names
    return any(not torch.equal(before[name], after[name]) for name in names)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_views_are_pieces_of_a_rolled_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    made = small(local=Local(count=3, seconds=0.3))
    taken: list[Tensor] = []
    monkeypatch.setattr(
        made.encoder, "features", lambda crops, *_: taken.append(crops) or torch.zeros(len(crops), 48, 128)
    )
    batch = 64
    audio = torch.arange(16000.0).repeat(batch, 1)
    made.views(audio, generator())
    whole, local = (crops.unflatten(0, (-1, batch)) for crops in taken)
    assert whole.shape == (2, batch, 8000)
    assert local.shape == (3, batch, 4800)
    for crops in (whole, local):
        assert ((crops.diff(dim=-1) - 1) % 16000 == 0).all()
        assert crops[..., 0].unique().numel() > 1.8 * batch  # each begins elsewhere
    jumps = (whole.diff(dim=-1) != 1).any(-1)
    assert 0.1 < jumps.float().mean() < 0.4  # half are rolled, and half of a rolled one's views hold the seam
    places = {tuple(row) for row in whole[..., 0].mT.tolist()}
    assert len(places) == batch


def test_view_order_is_all_of_one_view_first() -> None:
    made = small()
    audio = torch.stack([tones(1, generator())[0], torch.zeros(16000)])
    clean = made.views(audio, generator()).clean
    assert clean.shape == (4, 48, 128)
    silent = [torch.allclose(crop, torch.tensor(made.encoder.silence)) for crop in clean]
    assert silent == [False, True, False, True]


def test_a_seed_means_the_same_views() -> None:
    made, audio = small(), tones(3, generator())
    one, two, other = (made.views(audio, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.clean, two.clean)
    assert torch.equal(one.seen.pictures, two.seen.pictures)
    assert not torch.equal(one.seen.mask, other.seen.mask)
    torch.manual_seed(5)
    first = made(audio, 0)[0]
    torch.manual_seed(5)
    assert torch.equal(made(audio, 0)[0], first)


def test_features_stay_exact_under_autocast() -> None:
    made, audio = small(), tones(3, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = made.views(audio, generator()).clean
    assert torch.equal(rounded, made.views(audio, generator()).clean)


def test_only_other_views_are_compared() -> None:
    """A student who answers as the teacher of its own view gains nothing by it."""
    wanted = [torch.eye(5)[[0]], torch.eye(5)[[1]]]
    answers = [30 * torch.eye(5)[[place]] for place in (0, 1, 2, 3)]
    assert float(cross_view_entropy(wanted, answers[:2], 1.0)) == pytest.approx(30.0, abs=1e-3)
    assert float(cross_view_entropy(wanted, answers[1::-1], 1.0)) == pytest.approx(0.0, abs=1e-3)
    pairs = [cross_entropy(w, a, 1.0) for i, w in enumerate(wanted) for j, a in enumerate(answers) if i != j]
    assert len(pairs) == 6
    assert float(cross_view_entropy(wanted, answers, 1.0)) == pytest.approx(float(sum(pairs)) / 6)


def test_only_hidden_pixels_are_painted_for() -> None:
    made = small()
    given = made.views(tones(3, generator()), generator())
    before = made.losses(given, 0)[1]["pixel"]
    seen = torch.where(given.seen.mask, given.clean, 99.0)
    assert torch.equal(made.losses(Views(seen, given.seen), 0)[1]["pixel"], before)
    nothing = Views(given.clean, Corrupted(given.clean, torch.zeros_like(given.seen.mask)))
    assert made.losses(nothing, 0)[1]["pixel"] == 0


def test_each_loss_counts_as_told() -> None:
    given = small().views(tones(3, generator()), generator())
    parts = small().losses(given, 0)[1]
    for weights in (LossWeights(), LossWeights(0.5, 0.0, 3.0)):
        total = small(weights=weights).losses(given, 0)[0]
        wanted = weights.cls * parts["cls"] + weights.patch * parts["patch"] + weights.pixel * parts["pixel"]
        torch.testing.assert_close(total.detach(), wanted)


def test_the_teacher_follows_and_nothing_else_moves_it(tmp_path: Any) -> None:
    made = small(momentum=0.6)
    before = state(made)
    after = state(trained(tmp_path, made, steps=1, warmup=0))
    for name, tensor in after.items():
        if name.startswith("teacher."):
            ours = after[name.replace("teacher", "student")]
            torch.testing.assert_close(tensor, 0.6 * before[name] + 0.4 * ours)
    assert moved(before, after, "teacher.encoder")


@pytest.mark.parametrize("frozen", [0, 1])
def test_prototypes_rest_in_the_first_epochs(tmp_path: Any, frozen: int) -> None:
    made = small(frozen=frozen)
    before = state(made)
    trained(tmp_path, made, until=2)  # the first epoch
    assert moved(before, state(made), "student.encoder")
    for kind in ("cls", "patch"):
        assert moved(before, state(made), f"student.project.{kind}.weight") is not bool(frozen)
    trained(tmp_path, made)
    assert moved(before, state(made), "student.project.patch.weight")
    assert not moved(before, state(made), "student.project.patch.scale")


def test_a_stopped_run_goes_on_with_teacher_and_centres(tmp_path: Any) -> None:
    whole = state(trained(tmp_path / "whole", small()))
    trained(tmp_path / "parts", small(), until=2)
    parts = state(trained(tmp_path / "parts", small()))
    assert whole["centres.cls.value"].any()
    for name, tensor in whole.items():
        assert torch.equal(parts[name], tensor), name


def test_centres_learn_from_training_alone_and_not_from_failed_steps() -> None:
    made = small()
    given = made.views(tones(3, generator()), generator())
    centre = made.centres["cls"]
    made.eval()
    made.losses(given, 0)
    made.after_step(0, 4)
    assert not centre.value.any()  # type: ignore[union-attr, operator]
    made.train()
    made.losses(Views(given.clean * torch.nan, given.seen), 1)  # no after_step: the loop leaves it out
    made.losses(given, 2)
    made.losses(given, 2)  # a batch in two parts
    logits = made.teacher.project(made.teacher.tokens(given.clean))[0]
    made.after_step(2, 4)
    torch.testing.assert_close(centre.value, 0.1 * logits.mean(0))


@pytest.mark.parametrize(("epochs", "wanted"), [(3, [0.04, 0.055, 0.07, 0.07]), (1, [0.04, 0.07]), (0, [0.07, 0.07])])
def test_the_teacher_warms_up(epochs: int, wanted: list[float]) -> None:
    """Over the given epochs, both ends included; over none, it is warm at once."""
    found = [Temperatures(epochs=epochs).teacher(epoch) for epoch in range(len(wanted))]
    assert found == pytest.approx(wanted)


def test_a_centre_takes_the_common_out() -> None:
    centre = Centre(3, 0.0)
    centre.note(torch.tensor([[5.0, 0.0, 1.0]]))
    centre.move()
    found = centre.sharpened(torch.tensor([[5.0, 0.0, 1.0 + 0.04]]), 0.04)
    torch.testing.assert_close(found, torch.tensor([[1.0, 1.0, torch.e]]) / (2 + torch.e))


def test_branches_are_skipped_in_the_students_training_only() -> None:
    made = small(drop_path=0.9)
    assert [block.drop for block in made.student.encoder.blocks] == [0.0, 0.9]
    assert [block.drop for block in made.teacher.encoder.blocks] == [0.0, 0.0]
    block, x = made.student.encoder.blocks[1], torch.randn(4000, 2, 24)
    with torch.no_grad():
        whole, some = copy.deepcopy(block).eval()(x), block(x)
        assert torch.equal(block.eval()(x), whole)
    skipped = (some == x).all(-1).all(-1).float().mean()
    assert float(skipped) == pytest.approx(0.9**2, abs=0.03)
    branch = torch.ones(4000, 2, 24)
    assert float(drop_path(branch, 0.9, True).mean()) == pytest.approx(1.0, abs=0.15)


def test_local_views_and_shared_prototypes(tmp_path: Any) -> None:
    """The 16-kHz variant: one output layer whose magnitudes are learnt, and short views for the student alone."""
    heads = Heads(hidden=16, bottleneck=8, cls=12, shared=True, paint_hidden=16, paint_bottleneck=16)
    made = small(heads=heads, local=Local(count=2, seconds=0.3), frozen=0)
    given = made.views(tones(3, generator()), generator())
    assert given.local is not None
    assert given.local.shape == (6, 16, 128)  # 28 frames, cut to whole patches
    before = made.losses(given, 0)[1]
    changed = made.losses(Views(given.clean, given.seen, given.local + 1), 0)[1]
    assert changed["cls"] != before["cls"]
    scale = made.student.project.cls.scale.clone()
    assert made.student.project.patch is None
    trained(tmp_path, made)
    assert not torch.equal(made.student.project.cls.scale, scale)


def test_training_restores_hidden_pixels(tmp_path: Any) -> None:
    made = small()
    given = made.views(tones(4, generator()), generator())
    before = made.losses(given, 0)[1]["pixel"]
    trained(tmp_path, made, steps=40, lr=0.5, clip=3.0, clip_each=True)
    assert made.losses(given, 0)[1]["pixel"] < 0.7 * before


def test_initial_weights() -> None:
    made = small()
    network = made.student
    assert not network.encoder.blocks[0].mlp.up.bias.detach().any()  # type: ignore[union-attr, operator]
    assert network.encoder.embed.bias.detach().any()
    assert float(network.encoder.positions.detach().std()) == pytest.approx(0.02, rel=0.15)
    assert float(network.encoder.blocks[1].attention.qkv.weight.std()) == pytest.approx(0.02, rel=0.1)  # type: ignore
    assert float(network.paint.spread.weight.abs().max()) == pytest.approx(1 / 16, rel=0.02)
    for name, tensor in made.teacher.named_parameters():
        assert torch.equal(tensor, dict(network.named_parameters())[name])


@pytest.mark.parametrize(
    "options",
    [{"seconds": 1.5}, {"local": Local(count=1, seconds=0.6)}, {"local": Local(count=1, seconds=0.1)}],
    ids=str,
)
def test_views_that_do_not_fit_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="do not fit: each must hold the next, and a local view 16 frames"):
        small(**options)


def test_views_shorter_than_the_window_end_in_rows_of_zeros() -> None:
    """0.4 s have 38 frames of 48; the others are zeros before normalisation, in views of every kind of loss."""
    made, audio = small(seconds=0.4), tones(3, generator())
    given = made.views(audio, generator())
    config = made.encoder.config
    assert given.clean.shape == (6, 48, 128)
    assert torch.allclose(given.clean[:, 38:], torch.tensor(-config.mean / (2 * config.std)))
    assert not torch.allclose(given.clean[:, 37:38], given.clean[:, 38:39])
    loss, parts = made.losses(given, 0)
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.stack(list(parts.values()))).all()
