"""Published checkpoints: every layout loads to the same embeddings, and every fault is named."""

import argparse
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hear_audioformer import checkpoint, load_model
from hear_audioformer.checkpoint import WeightsError
from hear_audioformer.convert import METHODS, convert_file, from_upstream
from hear_audioformer.embedder import Embedder
from hear_audioformer.layers import sincos_2d
from hear_audioformer.msm_mae import MsmMae
from tests.oracles import needs_pickles

WIDTH, DEPTH, HEADS, ROWS, COLUMNS = 64, 2, 4, 5, 6
DECODER = 32
State = dict[str, Tensor]


def table_1d(positions: int, width: int) -> Tensor:
    """The authors' decoder table, written from its formula: sine in even columns, cosine in odd ones."""
    angles = torch.arange(positions)[:, None] / 10000.0 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def with_cls_row(table: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, table.shape[1]), table])[None]


def authors_state(seed: int = 0) -> State:
    """A state dict in the authors' layout: 80x96 input, 16x16 patches, decoder included."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    state = {
        "cls_token": random(1, 1, WIDTH),
        "pos_embed": with_cls_row(sincos_2d(ROWS, COLUMNS, WIDTH).flatten(0, 1)),
        "mask_token": random(1, 1, DECODER),
        "decoder_pos_embed": with_cls_row(table_1d(ROWS * COLUMNS, DECODER)),
        "patch_embed.proj.weight": random(WIDTH, 1, 16, 16),
        "patch_embed.proj.bias": random(WIDTH),
        "norm.weight": 1 + random(WIDTH),
        "norm.bias": random(WIDTH),
        "decoder_embed.weight": random(DECODER, WIDTH),
        "decoder_pred.bias": random(256),
    }
    for block in range(DEPTH):
        state |= {
            f"blocks.{block}.norm1.weight": 1 + random(WIDTH),
            f"blocks.{block}.norm1.bias": random(WIDTH),
            f"blocks.{block}.attn.q_bias": random(WIDTH),
            f"blocks.{block}.attn.v_bias": random(WIDTH),
            f"blocks.{block}.attn.qkv.weight": random(3 * WIDTH, WIDTH),
            f"blocks.{block}.attn.proj.weight": random(WIDTH, WIDTH),
            f"blocks.{block}.attn.proj.bias": random(WIDTH),
            f"blocks.{block}.norm2.weight": 1 + random(WIDTH),
            f"blocks.{block}.norm2.bias": random(WIDTH),
            f"blocks.{block}.mlp.fc1.weight": random(4 * WIDTH, WIDTH),
            f"blocks.{block}.mlp.fc1.bias": random(4 * WIDTH),
            f"blocks.{block}.mlp.fc2.weight": random(WIDTH, 4 * WIDTH),
            f"blocks.{block}.mlp.fc2.bias": random(WIDTH),
        }
    return state


def m2d_state() -> State:
    """The same weights as the M2D repository writes them; its full bias has a key part, which must not matter."""
    state = authors_state()
    for block in range(DEPTH):
        query, value = state.pop(f"blocks.{block}.attn.q_bias"), state.pop(f"blocks.{block}.attn.v_bias")
        state[f"blocks.{block}.attn.qkv.bias"] = torch.cat([query, torch.randn(WIDTH), value])
    state["decoder_pos_embed"] = with_cls_row(sincos_2d(ROWS, COLUMNS, DECODER).flatten(0, 1))
    state["norm_stats"] = torch.tensor([-7.1, 4.2])
    return state


def evar_state() -> State:
    """The same weights after EVAR's fine-tuning: a long prefix, the runtime's STFT kernels, a head."""
    prefix = "module.ar.runtime."
    state = {f"{prefix}backbone.{name}": tensor for name, tensor in authors_state().items()}
    return state | {f"{prefix}to_spec.mel_basis": torch.zeros(80, 201), "module.head.mlp.weight": torch.zeros(50, 3840)}


LAYOUTS: dict[str, Callable[[], State]] = {
    "authors": authors_state,
    "m2d": m2d_state,
    "evar": evar_state,
    "runtime": lambda: {f"backbone.{n}": t for n, t in authors_state().items()} | {"to_spec.stft.wsin": torch.ones(2)},
    "parallel": lambda: {f"module.{name}": tensor for name, tensor in authors_state().items()},
    "half": lambda: {name: tensor.half().float() for name, tensor in authors_state().items()},
}


def embedding(encoder: object) -> Tensor:
    assert isinstance(encoder, MsmMae)
    return Embedder(encoder).scene(0.1 * torch.randn(2, 20000, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_embeddings(layout: str) -> None:
    wanted = embedding(from_upstream("msm-mae", authors_state(), heads=HEADS))
    found = embedding(from_upstream("msm-mae", LAYOUTS[layout](), heads=HEADS))
    assert (found - wanted).abs().max() < (2e-2 if layout == "half" else 1e-5)


def test_shapes_tell_everything_but_the_heads() -> None:
    encoder = from_upstream("msm-mae", authors_state())
    assert isinstance(encoder, MsmMae)
    config = encoder.config
    assert (config.width, config.depth, config.heads) == (WIDTH, DEPTH, 1)
    assert (config.bands, config.frames, config.patch, config.mlp_ratio) == (80, 96, (16, 16), 4.0)
    assert (config.mean, config.std, config.cls, config.sample_rate) == (-7.1, 4.2, True, 16000)


@needs_pickles
@pytest.mark.parametrize(
    ("folder", "rate"),
    [("80x96p16x16_paper", 16000), ("80x96p16x16p100_x", 16000), ("msm_mae_vit_base-80x96p16x16p32k-2209-mr75", 32000)],
)
def test_a_file_from_its_folder(tmp_path: Path, folder: str, rate: int) -> None:
    """The training script's whole dictionary, with its argparse.Namespace, in a folder named as the authors name it."""
    source = tmp_path / folder / "checkpoint-100.pth"
    source.parent.mkdir()
    extras = {"epoch": 99, "args": argparse.Namespace(batch_size=64), "optimizer": {"state": {}}}
    torch.save({"model": m2d_state(), **extras}, source)
    result = convert_file("msm-mae", source, tmp_path / "out.safetensors", heads=HEADS, licence="their own")
    header = checkpoint.read_header(tmp_path / "out.safetensors")
    model = load_model(tmp_path / "out.safetensors")
    assert result.sha256 == checkpoint.sha256(tmp_path / "out.safetensors")
    assert header.provenance["source_sha256"] == checkpoint.sha256(source)
    assert header.licence == "their own"
    assert header.normalisation == {"mean": -7.1, "std": 4.2}
    assert model.sample_rate == rate
    assert torch.equal(embedding(model.encoder), embedding(result.encoder))


@needs_pickles
@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("80x512p16x16_paper", "says input 80x512, patch 16x16, the shapes say input 80x96, patch 16x16"),
        ("80x96p16x8_x", "says input 80x96, patch 16x8, the shapes say"),
    ],
)
def test_a_folder_that_contradicts_the_shapes(tmp_path: Path, folder: str, message: str) -> None:
    source = tmp_path / folder / "checkpoint.pth"
    source.parent.mkdir()
    torch.save(authors_state(), source)
    with pytest.raises(WeightsError, match=message):
        convert_file("msm-mae", source, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def without(name: str) -> State:
    state = authors_state()
    del state[name]
    return state


def changed(name: str, tensor: Tensor) -> State:
    return authors_state() | {name: tensor}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("blocks.1.mlp.fc2.bias"), "^blocks.1.mlp.fc2.bias: missing from the checkpoint"),
        (without("blocks.0.attn.v_bias"), "^blocks.0.attn.v_bias: missing"),
        (without("norm.bias"), "^norm.bias: missing"),
        (without("pos_embed"), "^pos_embed: missing"),
        (without("patch_embed.proj.weight"), "not an MSM-MAE checkpoint"),
        (changed("norm.weight", torch.ones(WIDTH + 1)), r"^norm.weight: shape \(65,\) where \(64,\)"),
        (changed("blocks.0.mlp.fc1.bias", torch.ones(7)), r"^blocks.0.mlp.fc1.bias: shape \(7,\)"),
        (changed("head.weight", torch.ones(7)), "^head.weight: not part of an MSM-MAE encoder"),
        (changed("pos_embed", torch.zeros(1, 31, WIDTH)), "^pos_embed: the stored table is not that of a grid of 5"),
        (changed("pos_embed", torch.zeros(1, 30, WIDTH)), "^pos_embed: 29 patches do not fill rows of 80 bands"),
        (changed("decoder_pos_embed", torch.ones(1, 31, DECODER)), "^decoder_pos_embed: neither the 1-D nor the 2-D"),
    ],
)
def test_the_first_mismatch_is_named(state: State, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        from_upstream("msm-mae", state, heads=HEADS)


def test_a_transposed_grid_is_noticed() -> None:
    """6 rows of 5 have as many patches as 5 rows of 6; only the table tells them apart."""
    with pytest.raises(WeightsError, match=r"^pos_embed: the stored table"):
        from_upstream("msm-mae", authors_state(), heads=HEADS, input_size=(96, 80))


def test_options_are_checked() -> None:
    with pytest.raises(WeightsError, match=r"^pos_embed: the given input size says input 80x208"):
        from_upstream("msm-mae", authors_state(), heads=HEADS, input_size=(80, 208))
    with pytest.raises(ValueError, match="cannot be split into 5 heads"):
        from_upstream("msm-mae", authors_state(), heads=5)
    with pytest.raises(WeightsError, match="no converter for method 'wav2vec'; there are msm-mae"):
        from_upstream("wav2vec", authors_state())


def test_a_decoder_too_narrow_for_a_plane_table() -> None:
    """A width that four does not divide has a 1-D table only."""
    assert isinstance(from_upstream("msm-mae", changed_decoder(18), heads=HEADS), MsmMae)


def changed_decoder(width: int) -> State:
    return authors_state() | {"decoder_pos_embed": with_cls_row(table_1d(ROWS * COLUMNS, width))}


def test_without_a_class_token() -> None:
    state = without("cls_token")
    state["pos_embed"] = state["pos_embed"][:, 1:]
    del state["decoder_pos_embed"]
    encoder = from_upstream("msm-mae", state, heads=HEADS)
    assert isinstance(encoder, MsmMae)
    assert encoder.cls is None


class Exploit:
    """Creates a file when unpickled by an unsafe reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


@needs_pickles
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    mark, source = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"model": authors_state(), "extra": Exploit(mark)}, source)
    with pytest.raises(WeightsError, match="more than tensors and plain values, and is not opened: Unsupported global"):
        convert_file("msm-mae", source, tmp_path / "out.safetensors")
    assert not mark.exists()


@needs_pickles
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    source = tmp_path / "checkpoint.pth"
    torch.save(authors_state(), source)
    content = source.read_bytes()
    source.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(WeightsError, match=r"damaged, truncated or not a checkpoint|not opened"):
        convert_file("msm-mae", source, tmp_path / "out.safetensors")


@needs_pickles
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1, 2]), "not a checkpoint|holds a list|not opened"),
        (b"not a checkpoint at all", "damaged, truncated or not a checkpoint|not opened"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    source = tmp_path / "x.pth"
    source.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        convert_file("msm-mae", source, tmp_path / "out.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        convert_file("msm-mae", tmp_path / "y.pth", tmp_path / "out.safetensors")


def test_a_safetensors_source_needs_no_pickle(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(authors_state(), tmp_path / "x.safetensors")
    result = convert_file("msm-mae", tmp_path / "x.safetensors", tmp_path / "out.safetensors", heads=HEADS)
    assert torch.equal(embedding(result.encoder), embedding(from_upstream("msm-mae", authors_state(), heads=HEADS)))


@pytest.mark.parametrize("version", ["2.6.0", "2.9.1+cu128"])
def test_old_torch_opens_no_pickle(tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(authors_state(), tmp_path / "x.pth")
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(WeightsError, match=re.escape(f"needs torch 2.10 or later, this is {version}")):
        convert_file("msm-mae", tmp_path / "x.pth", tmp_path / "out.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_that_can_be_converted_has_its_rules(method: str) -> None:
    with pytest.raises(WeightsError):
        from_upstream(method, {})
