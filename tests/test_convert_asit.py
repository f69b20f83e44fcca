"""ASiT's checkpoints: every layout loads to the same embeddings, the token order is found out, faults are named."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from hear_audioformer import checkpoint, load_model
from hear_audioformer.asit import Asit
from hear_audioformer.checkpoint import WeightsError
from hear_audioformer.cli import main
from hear_audioformer.convert import convert_file, from_upstream
from hear_audioformer.convert.asit import convert
from hear_audioformer.embedder import Embedder
from tests.oracles import needs_pickles

WIDTH, DEPTH, HEADS, COLUMNS, ROWS = 64, 2, 4, 12, 8
HINTS = {"heads": HEADS, "sample_rate": 16000}
State = dict[str, Tensor]


def smooth(columns: int, rows: int) -> Tensor:
    """Positions that change slowly along both axes, as learnt ones do: (columns, rows, width)."""
    angles = torch.linspace(0.1, 0.6, WIDTH // 4)
    time, mel = torch.arange(columns)[:, None] * angles, torch.arange(rows)[:, None] * angles
    ways = [time.sin(), time.cos(), mel.sin(), mel.cos()]
    return torch.cat(
        [way.expand(rows, -1, -1).transpose(0, 1) for way in ways[:2]]
        + [way.expand(columns, -1, -1) for way in ways[2:]],
        dim=-1,
    )


def backbone(seed: int = 0) -> State:
    """A backbone in the authors' layout: 192 frames of 128 bands, patches of 16."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    state = {
        "cls_token": random(1, 1, WIDTH),
        "pos_embed": torch.cat([random(1, WIDTH), smooth(COLUMNS, ROWS).flatten(0, 1)])[None],
        "patch_embed.proj.weight": random(WIDTH, 1, 16, 16),
        "patch_embed.proj.bias": random(WIDTH),
        "norm.weight": 1 + random(WIDTH),
        "norm.bias": random(WIDTH),
    }
    for block in range(DEPTH):
        shapes = {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)}
        shapes |= {"mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)}
        for name, shape in shapes.items():
            state |= {f"blocks.{block}.{name}.weight": random(*shape), f"blocks.{block}.{name}.bias": random(shape[0])}
        for name in ("norm1", "norm2"):
            state |= {f"blocks.{block}.{name}.weight": 1 + random(WIDTH), f"blocks.{block}.{name}.bias": random(WIDTH)}
    return state


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def heads() -> State:
    return {"head_cls.mlp.0.weight": torch.ones(3, WIDTH), "head_recons.convTrans.bias": torch.ones(1)}


def shared_head() -> State:
    """The 16-kHz version's."""
    return {"head.last_layer.weight_g": torch.ones(5, 1), "head.last_layer.weight_v": torch.ones(5, 3)}


def turned() -> State:
    """The same network trained on (mel, time) pictures: its tokens run along time first."""
    state = backbone()
    grid = smooth(COLUMNS, ROWS).transpose(0, 1).flatten(0, 1)
    state["pos_embed"] = torch.cat([state["pos_embed"][0, :1], grid])[None]
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].mT
    return state


def in_colour() -> State:
    state = backbone()
    weight = state["patch_embed.proj.weight"]
    return state | {"patch_embed.proj.weight": torch.cat([0.5 * weight, 0.2 * weight, 0.3 * weight], dim=1)}


LAYOUTS: dict[str, Callable[[], State]] = {
    "bare": backbone,
    "teacher": lambda: prefixed("backbone.", backbone()) | heads(),
    "student": lambda: prefixed("module.", prefixed("backbone.", backbone()) | heads()),
    "16 kHz": lambda: prefixed("module.", prefixed("backbone.", backbone()) | shared_head()),
    "bare with heads": lambda: backbone() | shared_head() | heads(),
    "wrapped": lambda: prefixed("model.asit.", backbone()) | {"strong_head.weight": torch.ones(2)},
    "doubly": lambda: prefixed("module.model.asit.", backbone()),
    "three channels": in_colour,
    "(mel, time)": turned,
    "both": lambda: prefixed("student.module.backbone.", backbone(1)) | prefixed("teacher.backbone.", backbone()),
}


def embedding(encoder: object) -> Tensor:
    assert isinstance(encoder, Asit)
    return Embedder(encoder).scene(0.1 * torch.randn(2, 20000, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_embeddings(layout: str) -> None:
    wanted = embedding(from_upstream("asit", backbone(), **HINTS))
    assert (embedding(from_upstream("asit", LAYOUTS[layout](), **HINTS)) - wanted).abs().max() < 1e-5


def test_shapes_tell_everything_but_heads_and_rate() -> None:
    config = from_upstream("asit", backbone(), sample_rate=32000).config
    assert (config.width, config.depth, config.heads, config.mlp_ratio) == (WIDTH, DEPTH, 1, 4.0)  # type: ignore
    assert (config.bands, config.frames, config.patch, config.sample_rate) == (128, 192, 16, 32000)  # type: ignore
    assert (config.mean, config.std) == (-4.2677393, 4.5689974)  # type: ignore[union-attr]
    other = from_upstream("asit", backbone(), input_size=(64, 384), normalisation=(-5.0, 3.0), **HINTS).config
    assert (other.bands, other.frames, other.mean, other.std) == (64, 384, -5.0, 3.0)  # type: ignore[union-attr]


def test_chance_decides_no_order() -> None:
    """On a grid of few patches random positions can be smoother one way by far more than on a large one."""
    for seed in range(200):
        table = torch.randn(1, 1 + 2 * 3, WIDTH, generator=torch.Generator().manual_seed(seed))
        _, notes = convert(backbone() | {"pos_embed": table}, input_size=(48, 32), **HINTS)
        assert any("undecided" in note for note in notes)


@pytest.mark.parametrize(
    ("state", "note"),
    [
        (backbone, "it is"),
        (turned, "positions and patch filters turned around"),
        (lambda: backbone() | {"pos_embed": torch.randn(1, 97, WIDTH)}, r"undecided, \(time, mel\) assumed"),
        (in_colour, "summed the 3 channels of the patch filters"),
        (lambda: backbone() | shared_head(), r"left out 2 tensors of heads \(head.last_layer.weight_g"),
        (LAYOUTS["both"], "the teacher's weights, not the student's"),
        (lambda: prefixed("student.module.backbone.", backbone()), "the student's weights, the only ones in the file"),
    ],
)
def test_what_was_found_out_is_said(state: Callable[[], State], note: str) -> None:
    notes = convert(state(), **HINTS)[1]  # type: ignore[arg-type]
    assert any(re.search(note, line) for line in notes), notes


def training_file(path: Path) -> None:
    """What the training script saves: both networks, the optimiser, the losses' centres, its arguments."""
    torch.save(
        {
            "student": prefixed("module.", prefixed("backbone.", backbone(1)) | heads()),
            "teacher": prefixed("backbone.", backbone()) | heads(),
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
            "epoch": 7,
            "args": argparse.Namespace(arch="vit_base"),
            "loss_cls": {"center": torch.zeros(1, 5)},
            "fp16_scaler": {"scale": 65536.0},
        },
        path,
    )


@needs_pickles
@pytest.mark.parametrize(("network", "seed"), [(None, 0), ("teacher", 0), ("student", 1)])
def test_a_file_of_the_training_script(tmp_path: Path, network: str | None, seed: int) -> None:
    source, out = tmp_path / "checkpoint.pth", tmp_path / "out.safetensors"
    training_file(source)
    command = ["convert", "--method", "asit", str(source), "-o", str(out), "--heads", "4", "--sample-rate", "32000"]
    result = CliRunner().invoke(main, command + (["--network", network] if network else []))
    assert result.exit_code == 0, result.output
    assert f"note: the {network or 'teacher'}'s weights" in result.stdout
    model = load_model(out)
    assert model.sample_rate == 32000
    wanted = from_upstream("asit", backbone(seed), heads=HEADS, sample_rate=32000)
    assert torch.equal(embedding(model.encoder), embedding(wanted))
    header = checkpoint.read_header(out)
    assert header.method == "asit"
    assert header.normalisation == {"mean": -4.2677393, "std": 4.5689974}
    assert header.provenance["source_sha256"] == checkpoint.sha256(source)


@needs_pickles
def test_the_released_kind_of_file_has_a_student_alone(tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    torch.save({"student": LAYOUTS["16 kHz"]()}, source)
    result = convert_file("asit", source, tmp_path / "out.safetensors", **HINTS)
    assert "the student's weights, the only ones in the file" in result.notes
    with pytest.raises(WeightsError, match=r"^teacher: not in the checkpoint, which names student"):
        convert_file("asit", source, tmp_path / "out.safetensors", network="teacher", **HINTS)


def without(name: str) -> State:
    state = backbone()
    del state[name]
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("blocks.1.mlp.fc2.bias"), "^blocks.1.mlp.fc2.bias: missing from the checkpoint"),
        (without("blocks.0.attn.qkv.bias"), "^blocks.0.attn.qkv.bias: missing"),
        (without("cls_token"), "^cls_token: missing"),
        (without("pos_embed"), "^pos_embed: missing"),
        (without("patch_embed.proj.weight"), "not an ASiT checkpoint"),
        (prefixed("student.", heads()), "found 0 times, expected once; not an ASiT checkpoint"),
        (backbone() | {"norm.weight": torch.ones(WIDTH + 1)}, r"^norm.weight: shape \(65,\) where \(64,\)"),
        (backbone() | {"norm3.weight": torch.ones(7)}, "^norm3.weight: not part of an ASiT encoder"),
        (backbone() | {"pos_embed": torch.zeros(1, 96, WIDTH)}, "^pos_embed: 95 patches do not fill columns of 128"),
        (prefixed("a.", backbone()) | prefixed("b.", backbone()), "found 2 times, expected once"),
    ],
)
def test_the_first_mismatch_is_named(state: State, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        from_upstream("asit", state, **HINTS)


def test_hints_are_checked() -> None:
    with pytest.raises(WeightsError, match="nothing in an ASiT checkpoint tells its sampling rate: pass sample_rate"):
        from_upstream("asit", backbone())
    with pytest.raises(WeightsError, match="the given input has 592 frames, the shapes say 192"):
        from_upstream("asit", backbone(), input_size=(128, 592), **HINTS)
    with pytest.raises(WeightsError, match=r"^network: a hint of no use for this method, which takes heads"):
        from_upstream("msm-mae", backbone(), network="teacher")
    with pytest.raises(WeightsError, match=r"^student: not in the checkpoint, which names no networks"):
        from_upstream("asit", backbone(), network="student", **HINTS)
